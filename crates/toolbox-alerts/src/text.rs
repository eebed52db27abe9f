//! Alerts as sentences.

use serde_json::Value;
use toolbox_api::alerts::Alert;
use toolbox_clients::supabase::alerts::AlertMessageEvent;

/// What a test message says.
const TEST: &str = "This is a test of the alerts of Toolbox; nothing has happened";

/// One sentence, on one line.
pub(crate) fn summary(alert: Option<&Alert>, event: AlertMessageEvent) -> String {
    let Some(alert) = alert else {
        return TEST.to_owned();
    };
    let detail = |name: &str| match alert.detail.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => "unknown".to_owned(),
        Some(value) => value.to_string(),
    };
    let toolbox = format!("toolbox \"{}\"", alert.toolbox_name);
    let tool = match &alert.instance_name {
        Some(name) => format!("Tool \"{name}\" on {toolbox}"),
        None => format!("A tool on {toolbox}"),
    };
    let is_open = event == AlertMessageEvent::Opened;
    let text = match (alert.kind.as_str(), is_open) {
        ("toolbox_silent", true) => {
            format!("The {toolbox} has not reported since {}", detail("since"))
        }
        ("toolbox_silent", false) => format!("The {toolbox} is silent no longer"),
        ("instance_error", true) => format!(
            "{tool} is in error ({}): {}",
            detail("reason_code"),
            detail("reason")
        ),
        ("instance_error", false) => format!("{tool} is in error no longer"),
        ("instance_flapping", true) => format!(
            "{tool} ended {} times within {} minutes",
            detail("ends"),
            detail("minutes")
        ),
        ("instance_flapping", false) => format!("{tool} has not ended for ten minutes"),
        ("disk_full", true) => format!("The disk of {toolbox} is {} % full", detail("percent")),
        ("disk_full", false) => format!("The disk of {toolbox} has room again"),
        ("certificate_changed", true) => match alert.detail.get("accepted") {
            Some(Value::Bool(true)) => {
                format!("The {toolbox} has enrolled with another certificate")
            }
            _ => format!(
                "A machine presents the key of {toolbox} with another certificate; its reports are refused"
            ),
        },
        ("certificate_changed", false) => {
            format!("The {toolbox} presents its own certificate again")
        }
        ("tools_changed", _) => format!("{tool} offers other tools. {}", detail("change")),
        ("agent_outdated", true) => format!(
            "The agent of {toolbox} is version {}, older than {}",
            detail("version"),
            detail("wanted")
        ),
        ("agent_outdated", false) => format!("The agent of {toolbox} is up to date"),
        (kind, true) => format!("The {toolbox}: {kind}"),
        (kind, false) => format!("The {toolbox}: {kind} is over"),
    };
    // Names are of users and reasons of machines: neither may break a line, such as that of a mail's subject.
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// The text of a mail: the sentence, and when.
pub(crate) fn mail(alert: Option<&Alert>, event: AlertMessageEvent) -> String {
    let mut text = format!("{}.\n", summary(alert, event));
    if let Some(alert) = alert {
        text.push_str("\nSince ");
        text.push_str(&alert.opened_at);
        if let Some(closed_at) = &alert.closed_at {
            text.push_str(", until ");
            text.push_str(closed_at);
        }
        text.push_str(".\n");
    }
    text
}

/// A mail's subject: the sentence, not too long.
pub(crate) fn subject(summary: &str) -> String {
    const LONGEST: usize = 150;
    match summary.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("Toolbox: {}…", &summary[..end]),
        None => format!("Toolbox: {summary}"),
    }
}
