//! The instances of a toolbox, live where the agent answers, as last known where it does not. A list and a look at one
//! instance take two round trips each: one to the database, one to the agent.

use std::sync::Arc;

use toolbox_api::dtma::{ForeignContainer, ToolList, ToolView};
use toolbox_api::edge::{AgentView, ToolInstanceView};
use toolbox_api::error::ApiError;
use toolbox_api::moment::Moment;
use toolbox_clients::dtma::{AgentError, Deleted};
use toolbox_clients::supabase::Select;
use toolbox_clients::supabase::rows::{EnvironmentRow, InstanceRow};
use toolbox_domain::ids::ToolboxId;

use crate::agent::InstanceAgent;
use crate::find::Target;
use crate::observation::Observation;
use crate::record::{Entry, record};
use crate::{Instances, UserRequest, view};

/// All instances of a toolbox.
#[derive(Debug)]
pub struct Listing {
    /// Whether the agent answered.
    pub agent: AgentView,
    /// The instances.
    pub instances: Vec<ToolInstanceView>,
    /// What the agent holds for the toolbox and the database has no row of.
    pub orphans: Vec<ToolView>,
    /// Containers on the machine that are not the toolbox's.
    pub foreign: Vec<ForeignContainer>,
}

/// One instance.
#[derive(Debug)]
pub struct Found {
    /// Whether the agent answered.
    pub agent: AgentView,
    /// The instance.
    pub instance: ToolInstanceView,
}

/// A row, and what the agent shows differently.
type Drift = (Box<InstanceRow>, Observation);

impl Instances {
    /// All instances of a toolbox. Records after the answer what the agent shows differently from the rows.
    pub async fn list(
        &self,
        request: &UserRequest,
        toolbox_id: ToolboxId,
    ) -> Result<Listing, ApiError> {
        let mut toolbox = self.find_toolbox(request, toolbox_id, Select::All).await?;
        let rows = std::mem::take(&mut toolbox.instances);
        let live = match self.agents.connect(&toolbox, &request.id) {
            Ok(agent) => match ask(&*agent, toolbox_id).await {
                Ok(list) => Ok((agent, list)),
                Err(error) => Err(error.into()),
            },
            Err(error) => Err(error),
        };
        let now = self.moment();
        let (agent, list) = match live {
            Ok(live) => live,
            Err(error) => {
                let rows = rows.into_iter();
                let known = rows.map(|row| view::last_known(*row, &toolbox, &now));
                return Ok(Listing {
                    agent: absent(&error, &toolbox, &now),
                    instances: known.collect::<Result<_, _>>()?,
                    orphans: Vec::new(),
                    foreign: Vec::new(),
                });
            }
        };
        let mut views = list.tools;
        let mut instances = Vec::with_capacity(rows.len());
        let mut drifts = Vec::new();
        for row in rows {
            let at = views.iter().position(|view| view.id == row.id);
            let observation = at.map_or(Observation::Missing, |at| views.swap_remove(at).into());
            if observation.is_drift(&row)? {
                drifts.push((row.clone(), observation.clone()));
            }
            instances.push(view::live(*row, observation, &now)?);
        }
        self.record_drifts(request, agent, drifts);
        Ok(Listing {
            agent: present(&toolbox, Some(list.version), &now),
            instances,
            orphans: views,
            foreign: list.foreign,
        })
    }

    /// One instance. Records after the answer what the agent shows differently from the row.
    pub async fn get(
        &self,
        request: &UserRequest,
        toolbox_id: ToolboxId,
        target: &Target,
    ) -> Result<Found, ApiError> {
        let (toolbox, row) = self.find_instance(request, toolbox_id, target).await?;
        let live = match self.agents.connect(&toolbox, &request.id) {
            Ok(agent) => match Observation::of_look(agent.get(row.id, None, None).await) {
                Ok(observation) => Ok((agent, observation)),
                Err(error) => Err(error.into()),
            },
            Err(error) => Err(error),
        };
        let now = self.moment();
        let (agent, observation) = match live {
            Ok(live) => live,
            Err(error) => {
                return Ok(Found {
                    agent: absent(&error, &toolbox, &now),
                    instance: view::last_known(*row, &toolbox, &now)?,
                });
            }
        };
        if observation.is_drift(&row)? {
            let drift = (row.clone(), observation.clone());
            self.record_drifts(request, agent, vec![drift]);
        }
        let version = toolbox.dtma_last_known_version.clone();
        Ok(Found {
            agent: present(&toolbox, version, &now),
            instance: view::live(*row, observation, &now)?,
        })
    }

    fn record_drifts(
        &self,
        request: &UserRequest,
        agent: Arc<dyn InstanceAgent>,
        drifts: Vec<Drift>,
    ) {
        if drifts.is_empty() {
            return;
        }
        let (instances, request_id) = (self.clone(), Arc::clone(&request.id));
        self.host.background(Box::pin(async move {
            let mut confirmed = Vec::with_capacity(drifts.len());
            for (row, observation) in drifts {
                match confirm(&*agent, &row, observation).await {
                    Ok(Some(observation)) => confirmed.push((row, observation)),
                    Ok(None) => {}
                    Err(error) => instances.host.log(&request_id, "observe", &error),
                }
            }
            let entries = confirmed
                .iter()
                .map(|(row, observation)| Entry::of_answer(row, observation, None))
                .collect();
            let batch = match record(&instances.database, &request_id, None, entries).await {
                Ok(batch) => batch,
                Err(error) => return instances.host.log(&request_id, "observe", &error.into()),
            };
            for ((row, _), recorded) in confirmed.iter().zip(batch.rows) {
                if let Some(error) = recorded.failure() {
                    let what = format!("observe instance {}", row.id);
                    instances.host.log(&request_id, &what, &error.into());
                }
            }
        }));
    }
}

/// That an agent shows nothing of an instance does not end its row: a command that was sent before the deletion may still be on
/// its way and create the instance again. The answer to a deletion ends it, because from then on the agent refuses earlier
/// commands. None: the agent is not done with it.
async fn confirm(
    agent: &dyn InstanceAgent,
    row: &InstanceRow,
    observation: Observation,
) -> Result<Option<Observation>, ApiError> {
    if observation.view().is_some() || !row.known()?.is_being_deleted() {
        return Ok(Some(observation));
    }
    match agent.delete(row.id, row.generation, None).await? {
        Deleted::Gone => Ok(Some(Observation::Gone)),
        Deleted::Pending(_) => Ok(None),
    }
}

async fn ask(agent: &dyn InstanceAgent, toolbox_id: ToolboxId) -> Result<ToolList, AgentError> {
    let list = agent.list().await?;
    // The address belongs to another toolbox now; its containers are none of the caller's business.
    if list.toolbox_id == toolbox_id {
        Ok(list)
    } else {
        Err(AgentError::BadResponse { status: 200 })
    }
}

/// The agent answered.
fn present(toolbox: &EnvironmentRow, version: Option<String>, now: &Moment) -> AgentView {
    AgentView {
        reachable: true,
        code: None,
        message: None,
        version,
        unresponsive_since: toolbox.unresponsive_since.clone(),
        checked_at: now.text.clone(),
    }
}

/// Why the agent's view is missing.
fn absent(error: &ApiError, toolbox: &EnvironmentRow, now: &Moment) -> AgentView {
    AgentView {
        reachable: false,
        code: Some(error.code.as_str().to_owned()),
        message: Some(error.message().to_owned()),
        ..present(toolbox, toolbox.dtma_last_known_version.clone(), now)
    }
}
