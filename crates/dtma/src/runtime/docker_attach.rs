//! A container's standard streams.

use bollard::container::LogOutput;
use bollard::query_parameters::AttachContainerOptionsBuilder;
use futures_util::StreamExt;

use super::docker::DockerEngine;
use super::{Attached, AttachedOutput, ContainerId, Operation, RuntimeError};

impl DockerEngine {
    /// Connects to the streams, from now on.
    pub(super) async fn attach_to(
        &self,
        container: &ContainerId,
    ) -> Result<Attached, RuntimeError> {
        let options = AttachContainerOptionsBuilder::default()
            .stdin(true)
            .stdout(true)
            .stderr(true)
            .stream(true)
            .logs(false)
            .build();
        let attached = self
            .call(
                (Operation::Look, "attach to the container"),
                self.deadlines.look,
                |docker| async move {
                    docker
                        .attach_container(container.as_str(), Some(options))
                        .await
                },
            )
            .await?;
        let host = self.host().to_owned();
        let output = attached.output.map(move |piece| match piece {
            Ok(LogOutput::StdErr { message }) => Ok(AttachedOutput::Stderr(message)),
            Ok(
                LogOutput::StdOut { message }
                | LogOutput::StdIn { message }
                | LogOutput::Console { message },
            ) => Ok(AttachedOutput::Stdout(message)),
            Err(error) => Err(super::docker::typed(&host, Operation::Look, error)),
        });
        Ok(Attached {
            input: attached.input,
            output: output.boxed(),
        })
    }
}
