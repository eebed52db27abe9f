//! What belongs to a toolbox or an instance beside its containers: the network, volumes, built images.

use std::collections::HashMap;

use bollard::errors::Error as DockerError;
use bollard::models::NetworkCreateRequest;
use bollard::query_parameters::{
    ListImagesOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder,
    RemoveImageOptions, RemoveImageOptionsBuilder, RemoveVolumeOptions,
};
use toolbox_domain::ids::ToolInstanceId;

use super::docker::DockerEngine;
use super::{Operation, RuntimeError, labels};

impl DockerEngine {
    /// The toolbox's network exists exactly once afterwards.
    pub(super) async fn ensure_network(&self) -> Result<(), RuntimeError> {
        let mut known = self.network_gate.lock().await;
        if *known {
            return Ok(());
        }
        let mut found = self.networks().await?;
        if found.is_empty() {
            let request = NetworkCreateRequest {
                name: self.network.clone(),
                driver: Some("bridge".to_owned()),
                labels: Some(HashMap::from([
                    (labels::TOOLBOX_ID.to_owned(), self.toolbox.to_string()),
                    (labels::MANAGED_BY.to_owned(), labels::DTMA.to_owned()),
                ])),
                ..NetworkCreateRequest::default()
            };
            self.call(
                (Operation::Create, "create the network"),
                self.deadlines.change,
                |docker| async move { docker.create_network(request).await },
            )
            .await?;
            found = self.networks().await?;
        }
        // Two can exist when an agent was killed while its request was on its way.
        found.sort();
        for surplus in found.iter().skip(1) {
            let removed = self
                .call(
                    (Operation::Remove, "remove a network"),
                    self.deadlines.change,
                    |docker| async move { docker.remove_network(surplus).await },
                )
                .await;
            if let Err(error) = removed {
                tracing::warn!(%error, network = %self.network, "could not remove a second network of the same name");
            }
        }
        *known = true;
        Ok(())
    }

    async fn networks(&self) -> Result<Vec<String>, RuntimeError> {
        let options = ListNetworksOptionsBuilder::default()
            .filters(&HashMap::from([(
                "name".to_owned(),
                vec![self.network.clone()],
            )]))
            .build();
        let list = self
            .call(
                (Operation::Look, "list networks"),
                self.deadlines.look,
                |docker| async move { docker.list_networks(Some(options)).await },
            )
            .await?;
        // Docker's filter also finds names that contain ours.
        Ok(list
            .into_iter()
            .filter(|n| n.name.as_deref() == Some(self.network.as_str()))
            .filter_map(|n| n.id)
            .collect())
    }

    pub(super) async fn volumes_of(
        &self,
        instance: ToolInstanceId,
    ) -> Result<Vec<String>, RuntimeError> {
        let options = ListVolumesOptionsBuilder::default()
            .filters(&self.ours(Some(instance)))
            .build();
        let volumes = self
            .call(
                (Operation::Look, "list volumes"),
                self.deadlines.look,
                |docker| async move { docker.list_volumes(Some(options)).await },
            )
            .await?;
        let found = volumes.volumes.unwrap_or_default().into_iter();
        Ok(found.map(|volume| volume.name).collect())
    }

    pub(super) async fn remove_volumes_of(
        &self,
        instance: ToolInstanceId,
        others: Vec<String>,
    ) -> Result<(), RuntimeError> {
        for name in self.volumes_of(instance).await?.into_iter().chain(others) {
            self.call(
                (Operation::Remove, "remove a volume"),
                self.deadlines.change,
                |docker| async move {
                    absent(
                        docker
                            .remove_volume(&name, None::<RemoveVolumeOptions>)
                            .await,
                    )
                },
            )
            .await?;
        }
        Ok(())
    }

    pub(super) async fn remove_builds_of(
        &self,
        instance: ToolInstanceId,
        keep: Option<&str>,
    ) -> Result<(), RuntimeError> {
        let options = ListImagesOptionsBuilder::default()
            .filters(&self.ours(Some(instance)))
            .build();
        let images = self
            .call(
                (Operation::Look, "list images"),
                self.deadlines.look,
                |docker| async move { docker.list_images(Some(options)).await },
            )
            .await?;
        // By name: two builds of the same content are one image with two names.
        let (tagged, nameless): (Vec<_>, Vec<_>) =
            images.into_iter().partition(|i| !i.repo_tags.is_empty());
        let names = tagged
            .into_iter()
            .flat_map(|i| i.repo_tags)
            .filter(|tag| Some(tag.as_str()) != keep);
        for image in names.chain(nameless.into_iter().map(|i| i.id)) {
            let options = RemoveImageOptionsBuilder::default()
                .force(keep.is_none())
                .build();
            self.call(
                (Operation::Remove, "remove a built image"),
                self.deadlines.change,
                |docker| async move {
                    absent(
                        docker
                            .remove_image(&image, Some(options), None)
                            .await
                            .map(drop),
                    )
                },
            )
            .await?;
        }
        Ok(())
    }

    pub(super) async fn remove_unused_image(&self, reference: &str) -> Result<bool, RuntimeError> {
        // Without force, so that Docker itself refuses while any container is made from it.
        self.call(
            (Operation::Remove, "remove an image"),
            self.deadlines.change,
            |docker| async move {
                let options = None::<RemoveImageOptions>;
                match docker.remove_image(reference, options, None).await {
                    Err(DockerError::DockerResponseServerError {
                        status_code: 409, ..
                    }) => Ok(false),
                    other => absent(other.map(drop)).map(|()| true),
                }
            },
        )
        .await
    }

    pub(super) async fn remove_nameless_image(&self, image: &str) -> Result<(), RuntimeError> {
        let Some(found) = self.local_image(image).await? else {
            return Ok(());
        };
        if found.has_names {
            return Ok(());
        }
        // Without force, so that Docker itself refuses while any container is made from it.
        self.call(
            (Operation::Remove, "remove an image without a name"),
            self.deadlines.change,
            |docker| async move {
                let options = None::<RemoveImageOptions>;
                absent(docker.remove_image(image, options, None).await.map(drop))
            },
        )
        .await
    }
}

/// Removing what is not there is a success.
fn absent(removed: Result<(), DockerError>) -> Result<(), DockerError> {
    match removed {
        Err(DockerError::DockerResponseServerError {
            status_code: 404, ..
        }) => Ok(()),
        other => other,
    }
}
