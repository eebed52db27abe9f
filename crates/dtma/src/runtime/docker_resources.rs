//! What belongs to a toolbox or an instance beside its containers: volumes and built images.

use bollard::errors::Error as DockerError;
use bollard::query_parameters::{
    ListImagesOptionsBuilder, ListVolumesOptionsBuilder, RemoveImageOptions,
    RemoveImageOptionsBuilder, RemoveVolumeOptions,
};
use toolbox_domain::ids::ToolInstanceId;

use super::docker::DockerEngine;
use super::{Operation, RuntimeError};

impl DockerEngine {
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
pub(super) fn absent(removed: Result<(), DockerError>) -> Result<(), DockerError> {
    match removed {
        Err(DockerError::DockerResponseServerError {
            status_code: 404, ..
        }) => Ok(()),
        other => other,
    }
}
