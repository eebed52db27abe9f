//! The installed versions: a folder each with the program in it, and the links `current` and `previous` beside them.

use std::fs;
use std::io;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use toolbox_domain::machine_operation::AgentVersion;

use crate::durable::sync_folder;
use crate::record::hex;

const PROGRAM: &str = "dtma";

/// One of the two links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// What runs.
    Current,
    /// What a rollback goes back to.
    Previous,
}

impl Link {
    const fn name(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Previous => "previous",
        }
    }
}

/// The folder of versions. Calls block.
#[derive(Clone, Debug)]
pub struct Versions {
    dir: PathBuf,
}

impl Versions {
    pub const fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// The folder itself.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The program of a version.
    pub fn program(&self, version: &AgentVersion) -> PathBuf {
        self.dir.join(version.as_str()).join(PROGRAM)
    }

    /// The program that `current` leads to.
    pub fn current_program(&self) -> PathBuf {
        self.dir.join(Link::Current.name()).join(PROGRAM)
    }

    /// The version that a link leads to; none where there is no link, or its version is gone. The current version is not
    /// also the one to go back to.
    pub fn get(&self, link: Link) -> Option<AgentVersion> {
        let version = self.leads_to(link)?;
        let is_current = || self.leads_to(Link::Current).as_ref() == Some(&version);
        (link == Link::Current || !is_current()).then_some(version)
    }

    fn leads_to(&self, link: Link) -> Option<AgentVersion> {
        let target = fs::read_link(self.dir.join(link.name())).ok()?;
        let version: AgentVersion = target.file_name()?.to_str()?.parse().ok()?;
        self.program(&version).is_file().then_some(version)
    }

    /// Lets a link lead to `version`; it leads to the old one or the new one at any moment.
    pub fn set(&self, link: Link, version: &AgentVersion) -> io::Result<()> {
        let draft = self.dir.join(format!(".{}.tmp", link.name()));
        remove_if_there(&draft)?;
        symlink(version.as_str(), &draft)?;
        fs::rename(&draft, self.dir.join(link.name()))?;
        sync_folder(&self.dir)
    }

    /// SHA-256 of an installed version; none when it is not installed.
    pub fn sha256(&self, version: &AgentVersion) -> io::Result<Option<String>> {
        match fs::read(self.program(version)) {
            Ok(bytes) => Ok(Some(hex(&Sha256::digest(&bytes)))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Installs a version, durably.
    pub fn install(&self, version: &AgentVersion, program: &[u8]) -> io::Result<()> {
        let folder = self.dir.join(version.as_str());
        fs::create_dir_all(&folder)?;
        let draft = folder.join(format!(".{PROGRAM}.tmp"));
        remove_if_there(&draft)?;
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o755)
            .open(&draft)?;
        file.write_all(program)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&draft, folder.join(PROGRAM))?;
        sync_folder(&folder)?;
        sync_folder(&self.dir)
    }

    /// Removes every version that no link leads to.
    pub fn prune(&self) -> io::Result<()> {
        let kept = [self.get(Link::Current), self.get(Link::Previous)];
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let version = name
                .to_str()
                .and_then(|name| name.parse::<AgentVersion>().ok());
            if let Some(version) = version
                && entry.file_type()?.is_dir()
                && !kept.contains(&Some(version))
            {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether `program` is an executable of Linux for this machine; what it is instead otherwise.
pub fn check_format(program: &[u8]) -> Result<(), &'static str> {
    /// `e_machine` of ELF.
    const MACHINE: u16 = if cfg!(target_arch = "aarch64") {
        183
    } else {
        62
    };
    let header = program.get(..20).ok_or("it is too short")?;
    if &header[..4] != b"\x7fELF" {
        return Err("it is no program of Linux (ELF)");
    }
    // 64 bits, little-endian.
    if header[4] != 2 || header[5] != 1 || u16::from_le_bytes([header[18], header[19]]) != MACHINE {
        return Err("it is built for another processor");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn version(text: &str) -> AgentVersion {
        text.parse().unwrap()
    }

    #[test]
    fn versions_are_installed_linked_and_pruned() {
        let dir = tempfile::tempdir().unwrap();
        let versions = Versions::new(dir.path().to_owned());
        assert_eq!(versions.get(Link::Current), None);
        let [a, b, c] = ["1.0.0", "1.1.0-rc.1+x", "2.0.0"].map(version);
        for v in [&a, &b, &c] {
            versions.install(v, v.as_str().as_bytes()).unwrap();
        }
        versions.set(Link::Current, &a).unwrap();
        versions.set(Link::Current, &b).unwrap();
        versions.set(Link::Previous, &a).unwrap();
        assert_eq!(versions.get(Link::Current), Some(b.clone()));
        assert_eq!(
            fs::read(versions.current_program()).unwrap(),
            b.as_str().as_bytes()
        );
        versions.prune().unwrap();
        assert!(versions.program(&a).exists() && versions.program(&b).exists());
        assert!(!versions.program(&c).exists());
        let mode = fs::metadata(versions.program(&a))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o755);
        versions.set(Link::Previous, &b).unwrap();
        assert_eq!(versions.get(Link::Previous), None, "it runs already");
        versions.set(Link::Previous, &a).unwrap();
        assert_eq!(versions.sha256(&c).unwrap(), None);
        assert_eq!(versions.sha256(&a).unwrap().unwrap().len(), 64);
        fs::remove_dir_all(dir.path().join("1.0.0")).unwrap();
        assert_eq!(versions.get(Link::Previous), None, "its program is gone");
    }

    #[test]
    fn only_programs_for_this_machine_are_taken() {
        let own = fs::read("/proc/self/exe").unwrap();
        check_format(&own).unwrap();
        let mut other = own[..64].to_vec();
        other[18] ^= 1;
        for wrong in [
            &b"#!/bin/sh\nexec sleep 1000000000\n"[..],
            b"",
            &own[..10],
            &other,
        ] {
            assert!(check_format(wrong).is_err());
        }
    }
}
