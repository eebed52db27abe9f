//! Writes the OpenAPI documents into a folder, or with `--check` says which of them are out of date.

use std::path::Path;
use std::process::ExitCode;

use toolbox_api::openapi;

fn main() -> ExitCode {
    let mut check = false;
    let mut folder = None;
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--check" => check = true,
            _ => folder = Some(argument),
        }
    }
    let Some(folder) = folder else {
        eprintln!("usage: toolbox-openapi [--check] FOLDER");
        return ExitCode::from(2);
    };
    let documents = [
        ("toolbox-tools.openapi.json", openapi::toolbox_tools()),
        (
            "toolbox-dtma-console.openapi.json",
            openapi::toolbox_dtma_console(),
        ),
        (
            "ssh-command-executor.openapi.json",
            openapi::ssh_command_executor(),
        ),
        ("toolboxes-user.openapi.json", openapi::toolboxes_user()),
        (
            "manage-agent-tool-environment.openapi.json",
            openapi::manage_agent_tool_environment(),
        ),
        ("operators.openapi.json", openapi::operators()),
        ("heartbeat.openapi.json", openapi::heartbeat()),
        ("clock.openapi.json", openapi::clock()),
        ("dtma.openapi.json", openapi::dtma()),
    ];
    let mut stale = false;
    for (name, document) in documents {
        let path = Path::new(&folder).join(name);
        let text = match document.to_pretty_json() {
            Ok(text) => text + "\n",
            Err(error) => {
                eprintln!("{name}: {error}");
                return ExitCode::FAILURE;
            }
        };
        if check {
            if std::fs::read_to_string(&path).ok().as_deref() != Some(&text) {
                eprintln!(
                    "{} differs from the types; run scripts/gen-api",
                    path.display()
                );
                stale = true;
            }
        } else if let Err(error) = std::fs::write(&path, text) {
            eprintln!("{}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    if stale {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
