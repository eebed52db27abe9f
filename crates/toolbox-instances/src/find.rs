//! The toolbox and the instance that a request names.

use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_clients::supabase::Select;
use toolbox_clients::supabase::rows::{EnvironmentRow, InstanceRow};
use toolbox_domain::ids::{ToolInstanceId, ToolboxId};
use toolbox_domain::names::DisplayName;

use crate::{Instances, UserRequest};

/// An instance as callers name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// By id.
    Id(ToolInstanceId),
    /// By display name. No name is a UUID, so a text names an instance in one way only.
    Name(String),
}

impl Target {
    /// Reads an id or a display name.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        // No instance can have a name that is not allowed.
        DisplayName::parse(text)
            .map(|name| Self::Name(name.as_str().to_owned()))
            .map_err(|_| ApiError::new(ErrorCode::InstanceNotFound))
    }

    fn select(&self) -> Select<'_> {
        match self {
            Self::Id(id) => Select::Id(*id),
            Self::Name(name) => Select::Name(name),
        }
    }
}

impl Instances {
    /// The toolbox, with the instances that `select` names, as far as the user may see them.
    pub(crate) async fn find_toolbox(
        &self,
        request: &UserRequest,
        id: ToolboxId,
        select: Select<'_>,
    ) -> Result<Box<EnvironmentRow>, ApiError> {
        self.database
            .toolbox(&request.token, id, select)
            .await?
            .ok_or_else(|| ApiError::new(ErrorCode::ToolboxNotFound))
    }

    /// The toolbox and one of its instances, in one read.
    pub(crate) async fn find_instance(
        &self,
        request: &UserRequest,
        id: ToolboxId,
        target: &Target,
    ) -> Result<(Box<EnvironmentRow>, Box<InstanceRow>), ApiError> {
        let mut toolbox = self.find_toolbox(request, id, target.select()).await?;
        let instance = toolbox
            .instances
            .pop()
            .ok_or_else(|| ApiError::new(ErrorCode::InstanceNotFound))?;
        Ok((toolbox, instance))
    }
}
