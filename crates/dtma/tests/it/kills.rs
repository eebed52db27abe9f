//! `kill -9` at random moments: afterwards the desired state is reached with one container per instance.
//!
//! The seed is printed; `DTMA_TEST_SEED` runs it again, `DTMA_TEST_KILLS` sets the number of kills (16, or 64 with
//! `scripts/test --thorough`).

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::agent::{Agent, Answer, Tool};
use crate::docker;

/// xorshift64*: enough to choose moments.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % n
    }
}

#[allow(clippy::disallowed_methods, reason = "a test has no config module")]
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(default)
}

/// What an instance may be: as before the last request, or as that request wanted it.
struct Expected {
    tool: Tool,
    exists: bool,
    running: bool,
    version: u64,
    generation: u64,
    port: Option<Value>,
}

#[derive(Clone, Copy, Debug)]
enum Operation {
    Deploy,
    Update,
    Start,
    Stop,
    Restart,
    Delete,
}

impl Expected {
    fn new() -> Self {
        Self {
            tool: fresh(),
            exists: false,
            running: false,
            version: 0,
            generation: 0,
            port: None,
        }
    }

    fn request(&self, agent: &Agent, operation: Operation) -> reqwest::RequestBuilder {
        let path = format!("/tools/{}", self.tool.id);
        let generation = self.generation + 1;
        let command = |name: &str| {
            agent
                .request(Method::POST, &format!("{path}/{name}"))
                .json(&json!({"generation": generation}))
        };
        match operation {
            Operation::Deploy | Operation::Update => {
                let mut body = self.tool.body.clone();
                body["generation"] = json!(generation);
                body["spec"]["env"] = json!({"VERSION": generation.to_string()});
                agent.request(Method::PUT, &path).json(&body)
            }
            Operation::Start => command("start"),
            Operation::Stop => command("stop"),
            Operation::Restart => command("restart"),
            Operation::Delete => {
                agent.request(Method::DELETE, &format!("{path}?generation={generation}"))
            }
        }
    }

    fn apply(&mut self, operation: Operation) {
        self.generation += 1;
        match operation {
            Operation::Deploy | Operation::Update => {
                (self.exists, self.running, self.version) = (true, true, self.generation);
            }
            Operation::Start | Operation::Restart => self.running = true,
            Operation::Stop => self.running = false,
            Operation::Delete => self.exists = false,
        }
    }
}

fn fresh() -> Tool {
    Tool::new(&["sleep"]).with("ports", json!([{"container_port": 80}]))
}

#[tokio::test]
async fn the_desired_state_is_reached_after_every_kill() {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let seed = setting(
        "DTMA_TEST_SEED",
        u64::try_from(now.as_nanos() & 0xffff_ffff).unwrap(),
    ) | 1;
    let default = if setting("TOOLBOX_THOROUGH", 0) == 1 {
        64
    } else {
        16
    };
    let kills = u32::try_from(setting("DTMA_TEST_KILLS", default)).unwrap();
    println!("DTMA_TEST_SEED={seed}");
    let mut random = Random(seed);
    let mut agent = Agent::new().await;
    let mut instances: Vec<Expected> = (0..3).map(|_| Expected::new()).collect();
    let mut done = 0;
    while done < kills {
        let index = usize::try_from(random.below(3)).unwrap();
        let operation = choose(&instances[index], &mut random);
        // The request and the kill race; the caller may or may not hear that it was accepted.
        let request = instances[index].request(&agent, operation);
        let answer = tokio::spawn(async move { request.send().await.map(|r| r.status().as_u16()) });
        let longest = if matches!(operation, Operation::Deploy | Operation::Update) {
            2_200
        } else {
            700
        };
        tokio::time::sleep(Duration::from_micros(random.below(longest * 1_000))).await;
        agent.kill();
        done += 1;
        // Sometimes it dies again while it recovers.
        for _ in 0..random.below(3) {
            agent.spawn();
            tokio::time::sleep(Duration::from_micros(random.below(600_000))).await;
            agent.kill();
            done += 1;
        }
        let accepted = match answer.await.unwrap() {
            Ok(status) => {
                assert!(
                    matches!(status, 200 | 202),
                    "seed {seed}: {operation:?} was refused with {status}"
                );
                true
            }
            Err(_) => false,
        };
        agent.start().await;
        check(&agent, &mut instances[index], operation, accepted, seed).await;
        for other in (0..3).filter(|i| *i != index) {
            hold(&agent, &mut instances[other], seed).await;
        }
    }
    for instance in &instances {
        agent.delete(&instance.tool).await.expect(200);
    }
    assert!(docker::containers(agent.toolbox).await.is_empty());
    println!("{done} kills");
}

fn choose(instance: &Expected, random: &mut Random) -> Operation {
    if !instance.exists {
        return Operation::Deploy;
    }
    match random.below(10) {
        0 | 1 => Operation::Update,
        2 | 3 => Operation::Start,
        4 | 5 => Operation::Stop,
        6 | 7 => Operation::Restart,
        _ => Operation::Delete,
    }
}

/// Finds out whether the request took effect (it must have, if it was accepted), and holds the result against Docker.
async fn check(
    agent: &Agent,
    instance: &mut Expected,
    operation: Operation,
    accepted: bool,
    seed: u64,
) {
    let answer = looked_at(agent, &instance.tool).await;
    let took_effect = match answer.status.as_u16() {
        200 => answer.body["generation"].as_u64() == Some(instance.generation + 1),
        404 => {
            matches!(operation, Operation::Delete)
                || !instance.exists && matches!(operation, Operation::Deploy) && !accepted
        }
        other => panic!("seed {seed}: {operation:?} led to {other}: {}", answer.body),
    };
    let never_was = answer.status.as_u16() == 404 && matches!(operation, Operation::Deploy);
    assert!(
        took_effect || !accepted,
        "seed {seed}: {operation:?} was accepted and is lost: {}; log: {}",
        answer.body,
        agent.log()
    );
    if took_effect && !never_was {
        instance.apply(operation);
    }
    hold(agent, instance, seed).await;
    if !instance.exists {
        // A new instance takes its place, as a new row would.
        *instance = Expected::new();
    }
}

/// What the agent says of it, once it has looked: until then Docker may be too slow to tell whether it is there.
async fn looked_at(agent: &Agent, tool: &Tool) -> Answer {
    let begun = Instant::now();
    loop {
        let answer = agent
            .call(Method::GET, &format!("/tools/{}", tool.id))
            .await;
        let is_early = answer.status == 503 && answer.body["code"] == "docker_unreachable";
        if !is_early || begun.elapsed() > Duration::from_secs(20) {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Docker has what is expected: one container, in its state, of its version, on its port.
async fn hold(agent: &Agent, instance: &mut Expected, seed: u64) {
    let context = |what: &str| {
        format!(
            "seed {seed}: {what} of {}; log: {}",
            instance.tool.id,
            agent.log()
        )
    };
    if !instance.exists {
        let answer = looked_at(agent, &instance.tool).await;
        assert_eq!(
            answer.status.as_u16(),
            404,
            "{}",
            context("a deleted instance is there")
        );
        let left = agent.containers(&instance.tool).await;
        assert!(left.is_empty(), "{}", context("containers are left"));
        return;
    }
    let view = agent.settled(&instance.tool).await;
    assert_eq!(
        view["generation"].as_u64(),
        Some(instance.generation),
        "{}",
        context("generation")
    );
    assert_eq!(view["settled"], true, "{}", context("not settled"));
    let phase = if instance.running {
        "running"
    } else {
        "stopped"
    };
    assert_eq!(view["phase"], phase, "{view} {}", context("phase"));
    if let Some(port) = &instance.port {
        assert_eq!(&view["ports"], port, "{}", context("the port changed"));
    }
    instance.port = Some(view["ports"].clone());
    let containers = agent.containers(&instance.tool).await;
    if instance.running {
        assert_eq!(containers.len(), 1, "{}", context("number of containers"));
        assert!(
            docker::runs(&containers[0]),
            "{}",
            context("it does not run")
        );
        assert_eq!(
            docker::name(&containers[0]),
            instance.tool.container_name(),
            "{}",
            context("name")
        );
        let version = format!("VERSION={}", instance.version);
        let environment = containers[0].config.as_ref().unwrap().env.clone().unwrap();
        assert!(
            environment.contains(&version),
            "{environment:?} {}",
            context("version")
        );
    } else {
        assert!(
            containers.iter().all(|c| !docker::runs(c)),
            "{}",
            context("a stopped instance runs")
        );
    }
}
