//! What the simulated DigitalOcean sells: some of the real sizes, regions and images, with their real names.

use serde_json::{Value, json};

/// What a droplet can be.
#[derive(Debug)]
pub(super) struct Size {
    pub(super) slug: &'static str,
    /// MiB.
    memory: u32,
    vcpus: u32,
    /// GiB.
    pub(super) disk: u32,
    /// US dollars a month.
    monthly: u32,
}

/// Where a droplet can be.
#[derive(Debug)]
pub(super) struct Region {
    pub(super) slug: &'static str,
    name: &'static str,
}

/// What a droplet starts from.
#[derive(Debug)]
pub(super) struct Image {
    id: u32,
    pub(super) slug: &'static str,
    name: &'static str,
    distribution: &'static str,
}

const fn size(slug: &'static str, memory: u32, vcpus: u32, disk: u32, monthly: u32) -> Size {
    Size {
        slug,
        memory,
        vcpus,
        disk,
        monthly,
    }
}

pub(super) const SIZES: [Size; 7] = [
    size("s-1vcpu-512mb-10gb", 512, 1, 10, 4),
    size("s-1vcpu-1gb", 1024, 1, 25, 6),
    size("s-1vcpu-2gb", 2048, 1, 50, 12),
    size("s-2vcpu-2gb", 2048, 2, 60, 18),
    size("s-2vcpu-4gb", 4096, 2, 80, 24),
    size("s-4vcpu-8gb", 8192, 4, 160, 48),
    size("s-8vcpu-16gb", 16384, 8, 320, 96),
];

pub(super) const REGIONS: [Region; 4] = [
    region("nyc3", "New York 3"),
    region("ams3", "Amsterdam 3"),
    region("fra1", "Frankfurt 1"),
    region("sgp1", "Singapore 1"),
];

/// The region that does not have the largest size.
const SMALL_REGION: &str = "sgp1";

pub(super) const IMAGES: [Image; 3] = [
    image(1001, "ubuntu-22-04-x64", "22.04 (LTS) x64", "Ubuntu"),
    image(1002, "ubuntu-24-04-x64", "24.04 (LTS) x64", "Ubuntu"),
    image(1003, "debian-12-x64", "12 x64", "Debian"),
];

const fn region(slug: &'static str, name: &'static str) -> Region {
    Region { slug, name }
}

const fn image(
    id: u32,
    slug: &'static str,
    name: &'static str,
    distribution: &'static str,
) -> Image {
    Image {
        id,
        slug,
        name,
        distribution,
    }
}

impl Size {
    pub(super) fn find(slug: &str) -> Option<&'static Self> {
        SIZES.iter().find(|size| size.slug == slug)
    }

    pub(super) fn is_in(&self, region: &Region) -> bool {
        region.slug != SMALL_REGION || self.slug != SIZES[SIZES.len() - 1].slug
    }

    /// As `GET /v2/sizes` shows it.
    pub(super) fn view(&self) -> Value {
        let regions = REGIONS.iter().filter(|region| self.is_in(region));
        json!({
            "slug": self.slug,
            "memory": self.memory,
            "vcpus": self.vcpus,
            "disk": self.disk,
            "transfer": 1.0,
            "price_monthly": f64::from(self.monthly),
            "price_hourly": f64::from(self.monthly) / 672.0,
            "regions": regions.map(|region| region.slug).collect::<Vec<_>>(),
            "available": true,
            "description": "Basic",
        })
    }

    /// What of a droplet's view its size decides.
    pub(super) fn fill(&self, droplet: &mut Value) {
        droplet["memory"] = self.memory.into();
        droplet["vcpus"] = self.vcpus.into();
        droplet["size_slug"] = self.slug.into();
        droplet["size"] = self.view();
    }
}

impl Region {
    pub(super) fn find(slug: &str) -> Option<&'static Self> {
        REGIONS.iter().find(|region| region.slug == slug)
    }

    /// As `GET /v2/regions` shows it.
    pub(super) fn view(&self) -> Value {
        let sizes = SIZES.iter().filter(|size| size.is_in(self));
        json!({
            "slug": self.slug,
            "name": self.name,
            "features": ["metadata", "install_agent"],
            "available": true,
            "sizes": sizes.map(|size| size.slug).collect::<Vec<_>>(),
        })
    }
}

impl Image {
    /// By its slug or its number.
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        let is = |image: &&Self| image.slug == name || image.id.to_string() == name;
        IMAGES.iter().find(is)
    }

    /// As `GET /v2/images` shows it.
    pub(super) fn view(&self) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "type": "base",
            "distribution": self.distribution,
            "slug": self.slug,
            "public": true,
            "regions": REGIONS.iter().map(|region| region.slug).collect::<Vec<_>>(),
            "created_at": "2024-05-04T22:23:02Z",
            "min_disk_size": 7,
            "size_gigabytes": 2.34,
            "description": format!("{} {}", self.distribution, self.name),
            "tags": [],
            "status": "available",
        })
    }
}
