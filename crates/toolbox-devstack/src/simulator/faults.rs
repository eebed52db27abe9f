//! Failures that a test asks for through `/simulator/faults`.

use serde::{Deserialize, Serialize};

/// One failure, which strikes as often as it says.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fault {
    /// Which requests: method and path, such as `POST /v2/droplets`; a part `*` of the path stands for any.
    on: String,
    /// Requests that are let through first.
    #[serde(default)]
    skip: u32,
    /// How often it strikes.
    #[serde(default = "once")]
    times: u32,
    /// What the caller gets instead of the answer.
    pub(super) answer: Option<Instead>,
    /// The request is carried out all the same.
    #[serde(default)]
    pub(super) carried_out: bool,
    /// `Retry-After` of the answer, in seconds.
    pub(super) retry_after: Option<u32>,
    /// What becomes of the droplet that the request makes.
    pub(super) machine: Option<MachineFault>,
}

/// What a caller gets instead of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Instead {
    /// An HTTP status with DigitalOcean's form of an error.
    Status(u16),
    /// Nothing, for a minute.
    Silence,
    /// The beginning of an answer.
    Cut,
}

/// What becomes of a droplet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum MachineFault {
    /// It stays `new` for ever.
    NeverActive,
    /// It is `active` and has an address, where nothing runs.
    NeverBoots,
}

const fn once() -> u32 {
    1
}

impl Fault {
    fn is_about(&self, method: &str, path: &str) -> bool {
        let Some((wanted, pattern)) = self.on.split_once(' ') else {
            return false;
        };
        let (mut pattern, mut path) = (pattern.split('/'), path.split('/'));
        wanted == method
            && pattern.by_ref().all(|part| {
                path.next()
                    .is_some_and(|other| part == "*" || part == other)
            })
            && path.next().is_none()
    }
}

/// The fault that strikes this request, if any does.
pub(super) fn strike(faults: &mut [Fault], method: &str, path: &str) -> Option<Fault> {
    let about = |fault: &&mut Fault| fault.times > 0 && fault.is_about(method, path);
    let fault = faults.iter_mut().find(about)?;
    if fault.skip > 0 {
        fault.skip -= 1;
        return None;
    }
    fault.times -= 1;
    Some(fault.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_what_it_is_about_as_often_as_it_says() {
        let text = r#"[{"on": "POST /v2/droplets/*/actions", "skip": 1, "times": 2, "answer": {"status": 500}}]"#;
        let mut faults: Vec<Fault> = serde_json::from_str(text).unwrap();
        let mut struck = |method, path| strike(&mut faults, method, path).is_some();
        for (method, path) in [
            ("GET", "/v2/droplets/1/actions"),
            ("POST", "/v2/droplets/1"),
            ("POST", "/v2/droplets/1/actions/2"),
        ] {
            assert!(!struck(method, path), "{method} {path}");
        }
        let strikes = [(); 5].map(|()| struck("POST", "/v2/droplets/1/actions"));
        assert_eq!(strikes, [false, true, true, false, false]);
    }

    #[test]
    fn what_it_does_not_know_is_refused() {
        let text = r#"{"on": "GET /", "anwser": "silence"}"#;
        assert!(serde_json::from_str::<Fault>(text).is_err());
    }
}
