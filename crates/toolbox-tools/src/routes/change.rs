//! The paths that change an instance; how, is [`mutation`]'s.

use toolbox_api::edge::UpdateToolRequest;
use toolbox_edge::{Answer, Cx};

use super::instance;
use crate::mutation::{self, Change};

pub(super) fn start(cx: Cx) -> Answer {
    change(cx, Change::Start)
}

pub(super) fn stop(cx: Cx) -> Answer {
    change(cx, Change::Stop)
}

pub(super) fn restart(cx: Cx) -> Answer {
    change(cx, Change::Restart)
}

pub(super) fn delete(cx: Cx) -> Answer {
    change(cx, Change::Delete)
}

fn change(cx: Cx, change: Change) -> Answer {
    Box::pin(async move {
        let (toolbox, target) = instance(&cx)?;
        mutation::change(&cx, toolbox, &target, change).await
    })
}

pub(super) fn update(cx: Cx) -> Answer {
    Box::pin(async move {
        let (toolbox, target) = instance(&cx)?;
        let body: UpdateToolRequest = cx.json()?;
        let wanted = &body.base_config_override_json;
        mutation::update(&cx, toolbox, &target, wanted).await
    })
}
