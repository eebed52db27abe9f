//! `up`: the order in which the stack starts, what it waits for, and how it ends.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::serve::ListenerExt as _;
use http::{Request as HttpRequest, header};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::timeout;
use uuid::Uuid;

use crate::auth::Auth;
use crate::config::{Paths, UpArgs};
use crate::control::{self, Control};
use crate::data_dir::{DataDir, sweep};
use crate::dtma::{Agent, Containers, end_containers};
use crate::error::StackError;
use crate::functions::{Function, SharedEnv, host};
use crate::gateway::{self, ApiKeys, Gateway, Proxy};
use crate::jwt::Keys;
use crate::ports::Ports;
use crate::postgres::{Home, Postgres};
use crate::progress::{say, step};
use crate::ready::{Demo, Dtma, Ready};
use crate::secrets::{Secrets, random_hex};
use crate::settings::{Project, env_file};
use crate::signals::StopSignals;
use crate::unit::{Handle, Request};
use crate::{demo, now, postgrest, schedule};

/// The longest the end may take.
const STOP_LIMIT: Duration = Duration::from_secs(45);

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
        ];
        env.extend(own.map(|(name, value)| (name.to_owned(), value)));
        env.extend(self.args.function_env.iter().cloned());
        Ok(env)
    }

    async fn start(&self) -> Result<Ready, StackError> {
        let url = self.url();
        say(format_args!("starting Toolbox at {url}"));
        // Bound first and served last: nobody else can take the port meanwhile.
        let gateway_listener = bind(self.ports.gateway, "the gateway").await?;
        let functions = self.functions()?;
        let ((user, db), agent, ()) = tokio::try_join!(
            self.database(),
            self.agent(),
            self.start_functions(&functions)
        )?;
        tokio::spawn(schedule::run(db.clone()));
        let gateway = Gateway {
            url: url.clone(),
            keys: self.keys.clone(),
            api_keys: ApiKeys::new(
                &self.secrets.publishable_key,
                &self.secrets.secret_key,
                &self.secrets.anon_key,
                &self.secrets.service_role_key,
            ),
            auth: Auth::new(db, self.keys.clone(), &url),
            postgrest_port: self.ports.postgrest,
            functions: functions.clone(),
            proxy: Proxy::new(),
        };
        let router = gateway::router(Arc::new(gateway));
        serve(gateway_listener, router);
        let (control_url, control_token) = self.control(&functions).await?;
        let access_token = step("demo user signs in", self.sign_in()).await?;
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
                    pid,
                    key_file: agent.key_file,
                    state_dir: agent.state_dir,
                }),
            pids,
            functions: functions
                .keys()
                .map(|name| (name.clone(), format!("{url}/functions/v1/{name}")))
                .collect(),
            data_dir: self.data.path.clone(),
            control_url,
            control_token,
            url,
        })
    }

    /// Postgres, migrations, PostgREST, demo rows: each needs the one before.
    async fn database(&self) -> Result<(Uuid, crate::db::Db), StackError> {
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
            self.ports,
        )?;
        let handle = self.service("postgrest", unit);
        step("PostgREST", handle.ask(Request::Start)).await?;
        let db = postgres.db.clone();
        let user = demo::user(&db, &self.secrets.demo_password).await?;
        if !demo::toolbox(&db, self.secrets.toolbox_id, user, self.ports.dtma).await? {
            say("  no table account_tool_environments: no toolbox registered");
        }
        Ok((user, db))
    }

    async fn agent(&self) -> Result<Option<Agent>, StackError> {
        if self.args.no_dtma {
            return Ok(None);
        }
        let agent = Agent::new(&self.data.path, self.ports.dtma);
        let restart = !self.args.ephemeral;
        let unit = agent.unit(
            &self.paths,
            &self.data.path,
            &self.secrets,
            &self.args.dtma_env,
            restart,
        )?;
        let handle = self.service("dtma", unit);
        step("DTMA", handle.ask(Request::Start)).await?;
        Ok(Some(agent))
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

    /// Signs the demo user in through the front door, which proves that it is open.
    async fn sign_in(&self) -> Result<String, StackError> {
        let failed = |output: String| StackError::Failed {
            name: "sign-in".to_owned(),
            status: "no token".to_owned(),
            output,
        };
        let body =
            json!({ "email": demo::EMAIL, "password": self.secrets.demo_password }).to_string();
        let request =
            HttpRequest::post(format!("{}/auth/v1/token?grant_type=password", self.url()))
                .header(header::CONTENT_TYPE, "application/json")
                .header("apikey", &self.secrets.publishable_key)
                .body(axum::body::Body::from(body))
                .map_err(|error| failed(error.to_string()))?;
        let answer = crate::probe::send(request)
            .await
            .ok_or_else(|| failed("no answer".to_owned()))?;
        let read = answer
            .into_body()
            .collect()
            .await
            .map_err(|error| failed(error.to_string()))?
            .to_bytes();
        let token = serde_json::from_slice::<Value>(&read)
            .ok()
            .and_then(|v| v["access_token"].as_str().map(str::to_owned));
        token.ok_or_else(|| failed(String::from_utf8_lossy(&read).into_owned()))
    }

    fn service(&self, name: &str, unit: crate::unit::Unit) -> Handle {
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
        let last = ["dtma", "postgrest", "postgres"];
        let functions: Vec<Handle> = services
            .extract_if(.., |handle| !last.contains(&handle.name.as_str()))
            .collect();
        let ends = functions.iter().map(|handle| handle.ask(Request::Shutdown));
        futures_util::future::join_all(ends).await;
        for name in last {
            for handle in services.iter().filter(|handle| handle.name == name) {
                let _ = handle.ask(Request::Shutdown).await;
                if name == "dtma" {
                    let what = if self.args.ephemeral {
                        Containers::Remove
                    } else {
                        Containers::Stop
                    };
                    end_containers(&self.paths.search, self.secrets.toolbox_id, what).await;
                }
            }
        }
        if self.args.ephemeral {
            self.home.remove();
        }
    }
}

/// Serves until the program ends.
fn serve(listener: TcpListener, router: Router) {
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
