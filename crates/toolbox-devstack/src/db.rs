//! The stack's own connections to Postgres, as its superuser.
//!
//! A few connections, opened when first needed and again after Postgres restarted. Every statement is atomic by
//! itself, so they are shared without locks held across statements.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls, Row};

use crate::error::StackError;

/// Hashing a password takes a connection for a tenth of a second; this many can be hashed at once.
const CONNECTIONS: usize = 4;
const LIMIT: Duration = Duration::from_secs(15);

/// Cloneable access to the database.
#[derive(Clone)]
pub(crate) struct Db {
    config: Config,
    slots: Arc<[Mutex<Option<Arc<Client>>>]>,
    next: Arc<AtomicUsize>,
}

impl Db {
    pub(crate) fn new(port: u16, user: &str, password: &str) -> Self {
        let mut config = Config::new();
        config
            .host("127.0.0.1")
            .port(port)
            .user(user)
            .password(password)
            .dbname("postgres");
        config
            .application_name("toolbox-devstack")
            .connect_timeout(Duration::from_secs(5));
        Self {
            config,
            slots: (0..CONNECTIONS).map(|_| Mutex::new(None)).collect(),
            next: Arc::default(),
        }
    }

    /// Whether a connection can be made now.
    pub(crate) async fn answers(&self) -> bool {
        matches!(
            timeout(Duration::from_secs(2), self.connect()).await,
            Ok(Ok(_))
        )
    }

    /// Runs several statements in one transaction.
    pub(crate) async fn batch(&self, what: &'static str, sql: &str) -> Result<(), StackError> {
        let client = self.client().await?;
        let done = timeout(LIMIT, client.batch_execute(sql))
            .await
            .map_err(|_| StackError::DatabaseSilent(LIMIT))?;
        done.map_err(|source| StackError::Database { what, source })
    }

    /// Rows of one statement.
    pub(crate) async fn rows(
        &self,
        what: &'static str,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StackError> {
        let client = self.client().await?;
        let done = timeout(LIMIT, client.query(sql, values))
            .await
            .map_err(|_| StackError::DatabaseSilent(LIMIT))?;
        done.map_err(|source| StackError::Database { what, source })
    }

    /// The first row of one statement.
    pub(crate) async fn row(
        &self,
        what: &'static str,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, StackError> {
        Ok(self.rows(what, sql, values).await?.into_iter().next())
    }

    async fn client(&self) -> Result<Arc<Client>, StackError> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % CONNECTIONS;
        let mut slot = self.slots[turn].lock().await;
        if let Some(client) = slot.as_ref().filter(|client| !client.is_closed()) {
            return Ok(Arc::clone(client));
        }
        let client = timeout(LIMIT, self.connect())
            .await
            .map_err(|_| StackError::DatabaseSilent(LIMIT))?;
        let client = Arc::new(client.map_err(|source| StackError::Database {
            what: "connecting",
            source,
        })?);
        *slot = Some(Arc::clone(&client));
        Ok(client)
    }

    async fn connect(&self) -> Result<Client, tokio_postgres::Error> {
        let (client, connection) = self.config.connect(NoTls).await?;
        // Ends with the connection; a broken one is noticed by `is_closed`.
        tokio::spawn(async move { drop(connection.await) });
        Ok(client)
    }
}
