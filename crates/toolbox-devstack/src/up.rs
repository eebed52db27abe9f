//! `up`: the order in which the stack starts, what it waits for, and how it ends.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::serve::ListenerExt as _;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::timeout;
use uuid::Uuid;

use crate::auth::{Auth, OAuthServer};
use crate::companion::{self, Companion};
use crate::config::{Paths, UpArgs};
use crate::console::Console;
use crate::control::{self, Control};
use crate::data_dir::{DataDir, sweep};
use crate::db::Db;
use crate::demo::Until;
use crate::dtma::{Agent, Containers, Way, end_containers};
use crate::error::StackError;
use crate::functions::{Function, SharedEnv, host};
use crate::gateway::{self, ApiKeys, Gateway, Proxy};
use crate::jwt::Keys;
use crate::ports::Ports;
use crate::postgres::{Home, Postgres};
use crate::progress::{say, step};
use crate::ready::{Demo, DigitalOcean, Dtma, Ready};
use crate::secrets::{Secrets, random_hex, write_private};
use crate::settings::{Project, env_file};
use crate::signals::StopSignals;
use crate::simulator::{self, Machines, Simulator};
use crate::unit::{Handle, Request, Unit};
use crate::{backend, demo, enrolment, now, postgrest, ready, schedule};

/// The longest the end may take.
const STOP_LIMIT: Duration = Duration::from_secs(45);
/// What the catalog's sample runs; droplets have it, because nothing serves it as a registry.
const SAMPLE_IMAGE: &str = "toolbox/sample-mcp:dev";
/// How long the enrolment of this machine may take.
const ENROL_LIMIT: Duration = Duration::from_secs(30);

/// Runs a stack from start to end.
pub(crate) async fn up(args: &UpArgs) -> Result<(), StackError> {
    let begun = Instant::now();
    let paths = args.paths()?;
    let project = Project::read(&paths.project)?;
    if args.ephemeral {
        sweep(&paths.search).await;
    }
    let data = if args.ephemeral {
        DataDir::temporary()?
    } else {
        DataDir::open(
            args.data_dir
                .clone()
                .unwrap_or_else(|| paths.project.join(".toolbox")),
        )?
    };
    let mut stop = StopSignals::new(args.die_with_stdin)?;
    let stack = Stack::new(args, paths, project, &data).await?;
    let started = tokio::select! {
        started = stack.start() => started.map(Some),
        () = stop.wait() => Ok(None),
    };
    let ended = match started {
        Ok(None) => Ok(()),
        Ok(Some(ready)) => {
            say(format_args!(
                "  {:<38} {:>5.1} s",
                "ready after",
                begun.elapsed().as_secs_f32()
            ));
            ready.print(args.json);
            stop.wait().await;
            say("stopping");
            Ok(())
        }
        Err(error) => Err(error),
    };
    if timeout(STOP_LIMIT, stack.stop()).await.is_err() {
        say("some services did not stop in time and are killed");
    }
    data.finish();
    ended
}

/// What a started database gives.
struct Database {
    user: Uuid,
    db: Db,
    /// There is a row for the toolbox "local".
    registered: bool,
}

/// One stack: what it was asked to be, and the services it has started so far.
struct Stack<'a> {
    args: &'a UpArgs,
    paths: Paths,
    project: Project,
    data: &'a DataDir,
    secrets: Secrets,
    keys: Keys,
    home: Home,
    ports: Ports,
    env: SharedEnv,
    services: Mutex<Vec<Handle>>,
    simulator: OnceLock<Arc<Simulator>>,
}

impl<'a> Stack<'a> {
    async fn new(
        args: &'a UpArgs,
        paths: Paths,
        project: Project,
        data: &'a DataDir,
    ) -> Result<Self, StackError> {
        let secrets = Secrets::load_or_make(&data.secrets_file(), now())?;
        let keys = secrets
            .keys()
            .ok_or_else(|| StackError::DamagedKeys(data.secrets_file()))?;
        let home = Home::find(&paths, &data.path, &secrets).await?;
        // Before ports are looked at: what is left of a killed stack may still hold one.
        home.clear_leftovers().await;
        companion::end_agent(&data.path).await;
        let ports = Ports::choose(args)?;
        let env = SharedEnv::new(RwLock::new(BTreeMap::new()));
        let services = Mutex::default();
        let stack = Self {
            args,
            paths,
            project,
            data,
            secrets,
            keys,
            home,
            ports,
            env,
            services,
            simulator: OnceLock::new(),
        };
        stack
            .env
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(stack.function_env()?);
        Ok(stack)
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.gateway)
    }

    /// Makes the OAuth server, if config.toml turns it on.
    fn oauth(&self) -> Result<Option<OAuthServer>, StackError> {
        let Some(path) = &self.project.consent_path else {
            return Ok(None);
        };
        let consent = format!("{}{path}", self.console_url());
        let (data, keys) = (&self.data.path, &self.keys);
        let server = OAuthServer::new(&self.paths, data, keys, &self.url(), &consent)?;
        self.services
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(server.worker().clone());
        Ok(Some(server))
    }

    fn db_url(&self, user: &str, password: &str) -> String {
        format!(
            "postgresql://{user}:{password}@127.0.0.1:{}/postgres",
            self.ports.postgres
        )
    }

    fn function_env(&self) -> Result<Vec<(String, String)>, StackError> {
        let Secrets {
            publishable_key,
            secret_key,
            anon_key,
            service_role_key,
            agent_root,
            ..
        } = &self.secrets;
        let from_file = env_file(&self.paths.project.join("supabase/functions/.env"))?;
        let mut env: Vec<(String, String)> = from_file;
        // Supabase keeps this prefix for itself.
        env.retain(|(name, _)| !name.starts_with("SUPABASE_"));
        let own = [
            ("SUPABASE_URL", self.url()),
            (
                "SUPABASE_PUBLISHABLE_KEYS",
                json!({ "default": publishable_key }).to_string(),
            ),
            (
                "SUPABASE_SECRET_KEYS",
                json!({ "default": secret_key }).to_string(),
            ),
            ("SUPABASE_ANON_KEY", anon_key.clone()),
            ("SUPABASE_SERVICE_ROLE_KEY", service_role_key.clone()),
            ("SUPABASE_JWKS", self.keys.public_set().to_string()),
            (
                "SUPABASE_DB_URL",
                self.db_url("postgres", &self.secrets.postgres_password),
            ),
            ("BACKEND_TO_DTMA_API_KEY", agent_root.clone()),
            ("TOOLBOX_SITE_URL", self.console_url()),
        ];
        env.extend(own.map(|(name, value)| (name.to_owned(), value)));
        // Without an agent of the stack's own, machines have the usual port.
        if !self.args.no_dtma {
            let port = self.ports.companion.to_string();
            env.push(("TOOLBOX_COMPANION_PORT".to_owned(), port));
        }
        env.extend(self.args.function_env.iter().cloned());
        Ok(env)
    }

    async fn start(&self) -> Result<Ready, StackError> {
        let url = self.url();
        say(format_args!("starting Toolbox at {url}"));
        // Bound first and served last: nobody else can take the port meanwhile.
        let gateway_listener = bind(self.ports.gateway, "the gateway").await?;
        // Before the functions, which learn from it where it is.
        let bridge = self.simulator().await?;
        let functions = self.functions()?;
        let oauth = self.oauth()?;
        let (database, (), ()) = tokio::try_join!(
            self.database(),
            self.start_functions(&functions),
            start_oauth(oauth.as_ref())
        )?;
        let Database {
            user,
            db,
            registered,
        } = database;
        if functions.contains_key("clock") {
            tokio::spawn(schedule::run(
                format!("{url}/functions/v1/clock/tick"),
                self.secrets.secret_key.clone(),
            ));
        }
        let gateway = self.gateway(&db, oauth, &functions);
        let router = gateway::router(Arc::new(gateway));
        if let Some(listener) = bridge {
            serve(listener, router.clone());
        }
        serve(gateway_listener, router);
        // Last, because it enrols and reports through the gateway.
        let agent = self.agent(&db, registered).await?;
        let backend = self.backend().await?;
        let console_url = self.console().await?;
        let (control_url, control_token) = self.control(&functions).await?;
        let access_token = step(
            "demo user signs in",
            demo::sign_in(
                &url,
                &self.secrets.publishable_key,
                &self.secrets.demo_password,
            ),
        )
        .await?;
        let pids = self.pids();
        Ok(Ready {
            db_url: self.db_url("postgres", &self.secrets.postgres_password),
            admin_db_url: self.db_url("supabase_admin", &self.secrets.admin_password),
            publishable_key: self.secrets.publishable_key.clone(),
            secret_key: self.secrets.secret_key.clone(),
            anon_key: self.secrets.anon_key.clone(),
            service_role_key: self.secrets.service_role_key.clone(),
            jwt_secret: self.secrets.jwt_secret.clone(),
            demo: Demo {
                email: demo::EMAIL.to_owned(),
                password: self.secrets.demo_password.clone(),
                access_token,
                user_id: user,
            },
            toolbox_id: self.secrets.toolbox_id,
            agent_root: self.secrets.agent_root.clone(),
            dtma: agent
                .zip(pids.get("dtma").copied())
                .map(|(agent, pid)| Dtma {
                    url: agent.url(),
                    companion_url: self
                        .companion()
                        .filter(|_| agent.way != Way::Http)
                        .map(|companion| companion.url()),
                    pid,
                    key_file: agent.key_file,
                    certificate_file: (agent.way != Way::Http).then_some(agent.certificate_file),
                    token_file: agent.token_file,
                    state_dir: agent.state_dir,
                }),
            pids,
            functions: functions
                .keys()
                .map(|name| (name.clone(), format!("{url}/functions/v1/{name}")))
                .collect(),
            digitalocean: self.simulator.get().map(|simulator| DigitalOcean {
                url: self.digitalocean_url(),
                token: simulator.token().to_owned(),
            }),
            backend,
            data_dir: self.data.path.clone(),
            console_url,
            control_url,
            control_token,
            url,
        })
    }

    fn gateway(
        &self,
        db: &Db,
        oauth: Option<OAuthServer>,
        functions: &BTreeMap<String, Function>,
    ) -> Gateway {
        Gateway {
            url: self.url(),
            keys: self.keys.clone(),
            api_keys: ApiKeys::new(
                &self.secrets.publishable_key,
                &self.secrets.secret_key,
                &self.secrets.anon_key,
                &self.secrets.service_role_key,
            ),
            auth: self.auth(db),
            oauth,
            postgrest_port: self.ports.postgrest,
            functions: functions.clone(),
            proxy: Proxy::new(),
            releases: self.data.path.join("releases"),
        }
    }

    /// The processes by the names of their services.
    fn pids(&self) -> BTreeMap<String, u32> {
        let handles = self
            .services
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let mut pids: BTreeMap<String, u32> = handles
            .iter()
            .filter_map(|handle| Some((handle.name.clone(), handle.state().pid?)))
            .collect();
        pids.insert("devstack".to_owned(), std::process::id());
        if let Some(pid) = companion::agent_pid(&self.data.path) {
            pids.insert("dtma".to_owned(), pid);
        }
        pids
    }

    /// Starts the simulator, if it is asked for, and tells the functions of it; where droplets reach the gateway.
    async fn simulator(&self) -> Result<Option<TcpListener>, StackError> {
        if self.args.droplets {
            let started = step("simulator of DigitalOcean", self.start_simulator());
            Ok(Some(started.await?))
        } else {
            Ok(None)
        }
    }

    async fn start_simulator(&self) -> Result<TcpListener, StackError> {
        let port = self.ports.digitalocean;
        let listener = bind(port, "the simulator of DigitalOcean").await?;
        let containers = simulator::Containers::open(
            &self.paths.search,
            &self.secrets.stack_id.to_string(),
            self.data.path.join("droplet"),
            &self.paths.cache,
            self.args.droplet_image.clone(),
            vec![self.ports.gateway],
            &[SAMPLE_IMAGE],
        )
        .await?;
        let bridge = SocketAddr::from((containers.bridge(), self.ports.gateway));
        let network = containers.network().to_string();
        let token = format!("dop_v1_{}", random_hex(32)?);
        let settings = simulator::Settings::default();
        let machines = Machines::Containers(containers);
        let simulator = Simulator::new(token.clone(), settings, machines).await;
        serve(listener, simulator.router());
        let _ = self.simulator.set(simulator);
        let own = [
            ("DO_API_TOKEN", token),
            (
                "TOOLBOX_DIGITALOCEAN_URL",
                format!("http://127.0.0.1:{port}"),
            ),
            ("DO_DEFAULT_REGION", "nyc3".to_owned()),
            ("DO_DEFAULT_SIZE", "s-1vcpu-1gb".to_owned()),
            ("TOOLBOX_RELEASE_URL", format!("{}/releases", self.url())),
            // The droplets' addresses are no public ones.
            ("TOOLBOX_ALLOWED_MACHINES", network),
            // Machines learn its public key when they enrol, so it is the same as long as there is this stack.
            ("TOOLBOX_SSH_CA_KEY", self.secrets.ssh_authority()),
        ];
        let own = own.map(|(name, value)| (name.to_owned(), value));
        let given = self.args.function_env.iter().cloned();
        self.env
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(own.into_iter().chain(given));
        TcpListener::bind(bridge)
            .await
            .map_err(StackError::file("listen on", bridge.to_string()))
    }

    /// Starts toolbox-backend, if it is asked for.
    async fn backend(&self) -> Result<Option<ready::Backend>, StackError> {
        if !self.args.backend {
            return Ok(None);
        }
        let (port, secret) = (self.ports.backend, random_hex(32)?);
        let unit = backend::unit(&self.paths, &self.data.path, &self.env, port, &secret);
        let handle = self.service("backend", unit);
        step("toolbox-backend", handle.ask(Request::Start)).await?;
        let url = format!("http://127.0.0.1:{port}");
        Ok(Some(ready::Backend { url, secret }))
    }

    fn auth(&self, db: &Db) -> Auth {
        let (url, site) = (self.url(), self.console_url());
        let inbox = self.data.path.join("mail");
        Auth::new(db.clone(), self.keys.clone(), &url, site, inbox)
    }

    /// Serves the web console, if it is asked for.
    async fn console(&self) -> Result<Option<String>, StackError> {
        let Some(files) = &self.args.web else {
            return Ok(None);
        };
        let files = std::path::absolute(files).map_err(StackError::file("resolve", files))?;
        let console = Console::open(files, &self.url(), &self.secrets.publishable_key)?;
        serve(
            bind(self.ports.web, "the web console").await?,
            console.router(),
        );
        Ok(Some(self.console_url()))
    }

    fn console_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.web)
    }

    fn digitalocean_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.digitalocean)
    }

    /// Postgres, migrations, PostgREST, demo rows: each needs the one before.
    async fn database(&self) -> Result<Database, StackError> {
        let durable = !self.args.ephemeral;
        let postgres = Postgres::new(
            &self.paths,
            &self.data.path,
            self.home.clone(),
            &self.secrets,
            self.ports.postgres,
            durable,
        )?;
        let made = step("Postgres: data directory", postgres.prepare()).await?;
        let handle = self.service("postgres", postgres.unit());
        step("Postgres", handle.ask(Request::Start)).await?;
        if made {
            step(
                "Postgres: roles, auth, extensions",
                postgres.bootstrap(&self.secrets),
            )
            .await?;
        }
        step(
            "migrations",
            postgres.migrate(&self.paths, &self.data.path, &self.secrets),
        )
        .await?;
        let unit = postgrest::unit(
            &self.paths,
            &self.data.path,
            &self.project,
            &self.secrets,
            &self.keys,
            &self.ports,
        )?;
        let handle = self.service("postgrest", unit);
        step("PostgREST", handle.ask(Request::Start)).await?;
        let db = postgres.db.clone();
        let user = demo::user(&db, &self.secrets.demo_password).await?;
        let until = if self.args.dtma_http {
            Until::Active
        } else {
            Until::Provisioned
        };
        let toolbox = self.secrets.toolbox_id;
        let registered = demo::toolbox(&db, toolbox, user, self.ports.dtma, until).await?;
        if !registered {
            say("  no table account_tool_environments: no toolbox registered");
        }
        Ok(Database {
            user,
            db,
            registered,
        })
    }

    /// Starts the agent and waits until its heartbeat made the toolbox active.
    async fn agent(&self, db: &Db, registered: bool) -> Result<Option<Agent>, StackError> {
        if self.args.no_dtma {
            return Ok(None);
        }
        let toolbox = self.secrets.toolbox_id;
        // Without a row there is nothing to enrol as.
        let way = if self.args.dtma_http || !registered {
            Way::Http
        } else {
            let control_url = format!("{}/functions/v1/heartbeat", self.url());
            Way::Enrolled { control_url }
        };
        let agent = Agent::new(&self.data.path, self.ports.dtma, way);
        agent.prepare(&self.paths)?;
        if agent.way == Way::Http {
            let handle = self.service("dtma", self.agent_unit(&agent)?);
            step("DTMA", handle.ask(Request::Start)).await?;
            return Ok(Some(agent));
        }
        if !enrolment::is_done(db, toolbox, &agent.state_dir).await? {
            let token = enrolment::token(&self.url(), &self.secrets.secret_key, toolbox).await?;
            write_private(&agent.token_file, &token)?;
            let enrolling = agent.enrolling(&self.paths, &self.data.path, &self.secrets);
            let env = self.args.dtma_env.iter().cloned();
            step("enrolment", enrolling.envs(env).finish(ENROL_LIMIT)).await?;
        }
        let since = enrolment::moment(db).await?;
        if let Some(companion) = self.companion() {
            let (paths, env) = (&self.paths, &self.args.dtma_env);
            let unit = companion.unit(&agent, paths, &self.data.path, &self.secrets, env);
            let handle = self.service("companion", unit.await?);
            step("DTMA's companion", handle.ask(Request::Start)).await?;
        } else {
            let handle = self.service("dtma", self.agent_unit(&agent)?);
            step("DTMA", handle.ask(Request::Start)).await?;
        }
        let enrolled = step("first heartbeat", enrolment::active(db, toolbox, since)).await?;
        agent.write_key(&self.secrets, enrolled.key_epoch)?;
        write_private(&agent.certificate_file, &enrolled.certificate_pem)?;
        Ok(Some(agent))
    }

    fn agent_unit(&self, agent: &Agent) -> Result<Unit, StackError> {
        let env = &self.args.dtma_env;
        let restart = !self.args.ephemeral;
        agent.unit(&self.paths, &self.data.path, &self.secrets, env, restart)
    }

    fn companion(&self) -> Option<Companion> {
        self.args.has_companion().then(|| Companion {
            port: self.ports.companion,
            release_url: format!("{}/releases", self.url()),
        })
    }

    fn functions(&self) -> Result<BTreeMap<String, Function>, StackError> {
        let echo = !self.args.json;
        let mut functions = BTreeMap::new();
        for settings in &self.project.functions {
            let function = host(
                &self.paths,
                &self.data.path,
                settings,
                Arc::clone(&self.env),
                echo,
            )?;
            self.services
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(function.worker.clone());
            functions.insert(settings.name.clone(), function);
        }
        Ok(functions)
    }

    /// A function that does not start is answered with 503 and tried again; the others still work.
    async fn start_functions(
        &self,
        functions: &BTreeMap<String, Function>,
    ) -> Result<(), StackError> {
        let starts = functions.iter().map(|(name, function)| async move {
            let what = format!("function {name}");
            if let Err(error) = step(&what, function.worker.ask(Request::Start)).await {
                say(crate::error::chain(&error));
                if let Some(hint) = crate::functions::hint(&error, &self.paths.project) {
                    say(hint);
                }
            }
        });
        futures_util::future::join_all(starts).await;
        Ok(())
    }

    async fn control(
        &self,
        functions: &BTreeMap<String, Function>,
    ) -> Result<(String, String), StackError> {
        let token = random_hex(16)?;
        let handles = self
            .services
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let control = Control {
            token: token.clone(),
            services: handles
                .into_iter()
                .map(|handle| (handle.name.clone(), handle))
                .collect(),
            functions: functions.keys().cloned().collect(),
            env: Arc::clone(&self.env),
        };
        let listener = bind(0, "the control door").await?;
        let address = listener
            .local_addr()
            .map_err(StackError::file("read the address of", "the control door"))?;
        let router = control::router(Arc::new(control));
        serve(listener, router);
        Ok((format!("http://{address}"), token))
    }

    fn service(&self, name: &str, unit: Unit) -> Handle {
        let handle = Handle::new(name, unit);
        self.services
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(handle.clone());
        handle
    }

    /// Stops everything, callers before what they call; functions may still finish work through the gateway.
    async fn stop(&self) {
        let mut services =
            std::mem::take(&mut *self.services.lock().unwrap_or_else(PoisonError::into_inner));
        let last = ["companion", "dtma", "postgrest", "postgres"];
        let functions: Vec<Handle> = services
            .extract_if(.., |handle| !last.contains(&handle.name.as_str()))
            .collect();
        let ends = functions.iter().map(|handle| handle.ask(Request::Shutdown));
        futures_util::future::join_all(ends).await;
        for name in last {
            for handle in services.iter().filter(|handle| handle.name == name) {
                let _ = handle.ask(Request::Shutdown).await;
            }
            if name == "dtma" && !self.args.no_dtma {
                companion::end_agent(&self.data.path).await;
                let what = if self.args.ephemeral {
                    Containers::Remove
                } else {
                    Containers::Stop
                };
                end_containers(&self.paths.search, self.secrets.toolbox_id, what).await;
            }
        }
        if let Some(simulator) = self.simulator.get() {
            let how = if self.args.ephemeral {
                simulator::End::Remove
            } else {
                simulator::End::Stop
            };
            simulator.end(how).await;
        }
        if self.args.ephemeral {
            self.home.remove();
        }
    }
}

async fn start_oauth(server: Option<&OAuthServer>) -> Result<(), StackError> {
    match server {
        Some(server) => step("OAuth server", server.worker().ask(Request::Start)).await,
        None => Ok(()),
    }
}

/// Serves until the program ends.
pub(crate) fn serve(listener: TcpListener, router: Router) {
    // An answer's head and body leave as they come; waiting to send them together costs 40 ms a request.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    tokio::spawn(async move { axum::serve(listener, router).await });
}

async fn bind(port: u16, service: &'static str) -> Result<TcpListener, StackError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|_| StackError::PortInUse {
            port,
            service,
            flag: "--port",
        })
}
