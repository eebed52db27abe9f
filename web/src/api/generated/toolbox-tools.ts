// Written by scripts/gen-api.mjs from docs/api/toolbox-tools.openapi.json. Do not edit.

export interface paths {
    "/": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Any action, as `supabase.functions.invoke` sends it. Answers as the action's own route does. */
        post: operations["invoke"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/mcp-clients": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What the caller lets applications use, in all toolboxes; also what is over. `POST /{toolboxId}/mcp-access` with `clientId` lets one in. */
        get: operations["list_mcp_clients"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/mcp-clients/{clientId}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /**
         * Ends at once all that an application may use for the caller. That sign-in knows it stays; supabase-js ends that by
         *     `auth.oauth.revokeGrant`.
         */
        delete: operations["revoke_mcp_client"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/mcp-servers": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The MCP servers that the caller may use, and may let applications use: those of their toolboxes, and those shared with them. */
        get: operations["list_mcp_servers"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/{toolboxId}/mcp": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The public URL of all MCP servers of a toolbox as one, and what hosts of MCP clients are told of it. */
        get: operations["mcp_of_toolbox"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/{toolboxId}/mcp-access": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Who may use the MCP servers of a toolbox by their public URLs, beside its owner. Tokens are not shown. */
        get: operations["list_mcp_access"];
        put?: never;
        /**
         * Gives access to one MCP server of a toolbox, or to all: by a new token, which is shown this once, to a user of the project, or to an application that acts for the caller.
         * @description What a user was given for the same servers before is replaced.
         */
        post: operations["give_mcp_access"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/{toolboxId}/mcp-access/{accessId}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /** Revokes an access. It counts for no request that comes from then on; one that is under way ends as it would. */
        delete: operations["revoke_mcp_access"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/{toolboxId}/tools": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The instances of a toolbox, joined with the agent's live view. */
        get: operations["list"];
        put?: never;
        /** Deploys an instance (a body without `action`), or any action. */
        post: operations["deploy"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/{toolboxId}/tools/{instance}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One instance. */
        get: operations["get_instance"];
        put?: never;
        post?: never;
        /** Removes an instance with its container and volumes. */
        delete: operations["delete_instance"];
        options?: never;
        head?: never;
        /**
         * New image or configuration; the old version stays when the new one does not start.
         * @description A tool that is to be stopped stays stopped; the new version is then tried when it is started.
         */
        patch: operations["update"];
        trace?: never;
    };
    "/{toolboxId}/tools/{instance}/logs": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** An instance's output; with `follow=true` a stream of JSON lines. */
        get: operations["logs"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/{toolboxId}/tools/{instance}/mcp": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The public URL of an instance's MCP server, and its endpoint on the machine with its token, for the owner's MCP clients.
         *     The token opens nothing else.
         */
        get: operations["mcp"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/{toolboxId}/tools/{instance}/mcp/pin": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Which tools of an instance's MCP server were accepted, and what differs from those that it lists now.
         * @description The server is asked. Where it does not answer, `problem` says why.
         */
        get: operations["mcp_pin"];
        /**
         * Accepts the tools that the server lists now: pins them, or takes them in place of those that were accepted before.
         * @description While the server lists others, clients that come by a public URL are held back (409, `mcp_tools_changed`), the owner's too.
         */
        put: operations["pin_mcp_tools"];
        post?: never;
        /** Pins the tools no more: whatever the server lists is open to its clients. */
        delete: operations["unpin_mcp_tools"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/{toolboxId}/tools/{instance}/mcp/usage": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * How an instance's MCP server was used, by day, tool and client; never what was asked or answered. The agent reports it with its
         *     heartbeats, so the last minute may be missing.
         */
        get: operations["mcp_usage"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/{toolboxId}/tools/{instance}/restart": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Stops and runs an instance. */
        post: operations["restart"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/{toolboxId}/tools/{instance}/start": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Runs an instance; re-creates it from its stored spec when the agent does not know it. */
        post: operations["start"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/{toolboxId}/tools/{instance}/stop": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Stops an instance. */
        post: operations["stop"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/{toolboxId}/tools/{instance}/versions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * What an instance was asked to run, the newest 10 versions, and how each differs from what it is asked to run now. Values of
         *     variables and headers, commands and entry points are not told.
         */
        get: operations["versions"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/{toolboxId}/tools/{instance}/versions/{generation}/rollback": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Goes back to a version: an update to its image and its whole configuration, which is a version of its own then.
         * @description An image of a registry is asked for by the digest that was seen then, as `rollback_image` of the version says. The version that
         *     runs stays when that one does not start.
         */
        post: operations["roll_back"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        /**
         * @description What a caller can ask for.
         * @enum {string}
         */
        Action: "list" | "get" | "deploy" | "start" | "stop" | "restart" | "delete" | "logs" | "update" | "mcp";
        /** @description Whether the agent of the toolbox answered. */
        AgentView: {
            /** @description When it was asked. */
            checked_at: string;
            /** @description Why not, a code of [`crate::error::ErrorCode`]. */
            code?: string | null;
            /** @description Why not, in words. */
            message?: string | null;
            /** @description It answered with its list. */
            reachable: boolean;
            /** @description Since when it has not reported by itself, where it should have. */
            unresponsive_since?: string | null;
            /** @description Version of the agent's program. */
            version?: string | null;
        };
        /** @description What differs from the catalog entry (deploy) or from what runs (update). */
        ConfigOverride: {
            /**
             * Format: int32
             * @description How long a call of the MCP server may take without a sign of progress, 1 to 86,400 seconds.
             * @default null
             */
            callTimeoutSeconds?: number | null;
            /**
             * @description Capabilities that it gets back; all others are dropped. Docker's defaults may be asked for, such as `CHOWN`, `SETUID`
             *     and `SETGID`.
             * @default null
             */
            capabilities?: string[] | null;
            /**
             * @description Arguments instead of the image's.
             * @default null
             */
            command?: string[] | null;
            /**
             * @description Image reference, Git URL, or GitHub link to a Dockerfile.
             * @default null
             */
            dockerImage?: string | null;
            /**
             * @description Path of the MCP endpoint.
             * @default null
             */
            endpointPath?: string | null;
            /**
             * @description Entry point instead of the image's.
             * @default null
             */
            entrypoint?: string[] | null;
            /**
             * @description Environment variables; they are stored and never read back. Others stay as they are; null removes one.
             * @default null
             */
            environmentVariables?: {
                [key: string]: string | null;
            } | null;
            /**
             * @description What it may reach of its machine, at most 16: `host:PORT` for a port of the machine (the name of the machine is
             *     `host.docker.internal`), `/udp` at the end for UDP. All else of the machine is refused to it, and so are the ports of
             *     the agent, its companion, sshd and Docker, and link-local addresses such as the cloud's metadata, whatever is named here.
             * @default null
             */
            hostAccess?: string[] | null;
            /**
             * Format: int32
             * @description Stop the MCP server when nobody has used it for so many minutes, 1 to 10,080; the next call starts it. 0 is never.
             * @default null
             */
            idleMinutes?: number | null;
            /**
             * @description Networks that it shares with the tools of the same toolbox that name them too, at most 8. There the tools reach each
             *     other by their container names. Without one, no other tool reaches it but through its published ports.
             * @default null
             */
            networks?: string[] | null;
            /**
             * @description Ports to publish.
             * @default null
             */
            portMappings?: components["schemas"]["PortMapping"][] | null;
            /** @default null */
            resources?: components["schemas"]["ResourceOverride"] | null;
            /**
             * Format: int32
             * @description How long the MCP server may take to start, 1 to 1,800 seconds.
             * @default null
             */
            startTimeoutSeconds?: number | null;
            /**
             * @description The MCP server (transport `stdio`) speaks the stateless revision 2026-07-28, and is asked for that first. Else every
             *     client gets a revision with sessions, because a server that speaks both keeps to the one that it is asked for first.
             * @default null
             */
            statelessProtocol?: boolean | null;
            /**
             * @description Keep standard input open.
             * @default null
             */
            stdinOpen?: boolean | null;
            /** @default null */
            transport?: components["schemas"]["TransportOverride"] | null;
            /**
             * @description Headers of every request to an MCP server that speaks HTTP, such as `Authorization` with the server's own key; they
             *     are stored and never read back. Others stay as they are; null removes one.
             * @default null
             */
            upstreamHeaders?: {
                [key: string]: string | null;
            } | null;
            /**
             * @description User that it runs as instead of the image's: `uid` or `uid:gid`, in numbers.
             * @default null
             */
            user?: string | null;
            /**
             * @description Volumes that live as long as the instance.
             * @default null
             */
            volumes?: components["schemas"]["VolumeSpec"][] | null;
        };
        /**
         * @description What Docker says of the health check that an image brings (`HEALTHCHECK`).
         * @enum {string}
         */
        ContainerHealth: "starting" | "healthy" | "unhealthy";
        /** @description Body of a deploy. */
        DeployToolRequest: {
            /** @description What differs from the catalog entry. */
            baseConfigOverrideJson?: components["schemas"]["ConfigOverride"];
            /** @description Display name, 1 to 255 characters, unique in the toolbox. */
            instanceNameOnToolbox: string;
            /**
             * @description Pin the tools that its MCP server lists first: whoever comes by a public URL gets in when they were heard, and is held back
             *     while it lists others, until the owner accepts them.
             */
            pinTools?: boolean;
            /**
             * Format: uuid
             * @description Entry of the tool catalog.
             */
            toolCatalogId: string;
        };
        /**
         * @description What the user asked an instance to be.
         * @enum {string}
         */
        Desired: "running" | "stopped" | "absent";
        /** @description The error itself. */
        ErrorBody: {
            /** @description Stable code, one of [`ErrorCode`]. */
            code: string;
            details?: components["schemas"]["ErrorDetails"] | null;
            /** @description What happened and what to do; never a secret, never the caller's body. */
            message: string;
            /** @description The request, as in the `x-request-id` header and the event log. */
            request_id: string;
        };
        /**
         * @description What can be wrong with a call to an edge function.
         * @enum {string}
         */
        ErrorCode: "invalid_json" | "invalid_request" | "invalid_action" | "authentication_required" | "invalid_token" | "user_token_required" | "enrolment_token_invalid" | "enrolment_token_expired" | "heartbeat_key_invalid" | "secret_key_required" | "forbidden" | "anonymous_refused" | "operation_not_allowed" | "mcp_grant_required" | "route_not_found" | "toolbox_not_found" | "instance_not_found" | "version_not_kept" | "catalog_tool_not_found" | "agent_not_found" | "rollout_not_found" | "mcp_access_not_found" | "method_not_allowed" | "body_too_slow" | "operation_in_progress" | "name_taken" | "illegal_state" | "state_changed" | "toolbox_not_active" | "toolbox_ambiguous" | "enrolment_token_used" | "heartbeat_replayed" | "certificate_changed" | "mcp_tools_changed" | "version_change_in_progress" | "rollout_in_progress" | "no_previous_version" | "releases_not_configured" | "release_unknown" | "release_unavailable" | "body_too_large" | "unsupported_media_type" | "validation_failed" | "idempotency_key_reused" | "quota_exceeded" | "internal" | "not_configured" | "agent_pin_unsupported" | "deploy_failed" | "start_failed" | "stop_failed" | "update_failed" | "delete_failed" | "redeploy_failed" | "agent_bad_response" | "agent_failed" | "agent_too_old" | "agent_unauthorized" | "agent_certificate_invalid" | "docker_failed" | "agent_store_failed" | "database_bad_response" | "backend_bad_response" | "provisioning_failed" | "provider_refused" | "ssh_no_server" | "ssh_key_exchange_failed" | "ssh_host_key_changed" | "ssh_clock_skew" | "ssh_not_admitted" | "ssh_channel_refused" | "ssh_command_refused" | "ssh_output_too_large" | "ssh_connection_lost" | "ssh_refused" | "ssh_unreachable" | "ssh_not_enrolled" | "backend_unreachable" | "agent_unreachable" | "companion_unreachable" | "toolbox_not_ready" | "agent_not_enrolled" | "mcp_tools_unknown" | "docker_unreachable" | "provider_unavailable" | "database_unreachable" | "auth_unreachable" | "backend_timeout" | "agent_timeout" | "ssh_timeout" | "docker_timeout" | "database_timeout";
        /** @description What more there is to say about an error. */
        ErrorDetails: {
            /** @default null */
            accepted?: components["schemas"]["HeartbeatNumbers"] | null;
            /**
             * @description What is allowed instead.
             * @default []
             */
            allowed?: string[];
            /**
             * @description Violated rules.
             * @default []
             */
            errors?: components["schemas"]["FieldError"][];
            /**
             * @description The page on which a user lets a program in to an MCP server.
             * @default null
             */
            grant_url?: string | null;
            /** @default null */
            operation?: components["schemas"]["OperationView"] | null;
            /** @default null */
            reason?: components["schemas"]["Reason"] | null;
            /** @default null */
            tool_instance?: components["schemas"]["ToolInstanceView"] | null;
        };
        /** @description What every error answer carries. */
        ErrorEnvelope: {
            /** @description The error. */
            error: components["schemas"]["ErrorBody"];
        };
        /** @description One violated rule of a spec. */
        FieldError: {
            /** @description Stable code. */
            code: string;
            /** @description Path of the field, such as `ports[0].host_port`. */
            field: string;
            /** @description What is expected. */
            message: string;
        };
        /** @description A container on the machine that is not the agent's. Never its command or environment. */
        ForeignContainer: {
            /** @description Docker's id. */
            container_id: string;
            /** @description Image. */
            image: string;
            /** @description Docker's name. */
            name: string;
            /** @description Docker's state, such as `running`. */
            state: string;
        };
        /** @description Answer of get. */
        GetResponse: {
            /** @description The agent. */
            agent: components["schemas"]["AgentView"];
            /** @description The request. */
            request_id: string;
            /** @description The agent answered; when false the state is the last known one. */
            success: boolean;
            /** @description The instance. */
            tool_instance: components["schemas"]["ToolInstanceView"];
        };
        /** @description Body of `POST /{toolboxId}/mcp-access`: who may use the MCP servers of a toolbox. Without `userId` and `clientId` it makes a token. */
        GrantMcpAccessRequest: {
            /** @description The tools that may be used, 100 at most; all without a list. Resources and prompts of the servers are not limited. */
            allowedTools?: string[] | null;
            /** @description The application to let in for yourself, by the client id that sign-in gave it; to a server of yours or one shared with you. */
            clientId?: string | null;
            /**
             * Format: int32
             * @description So many requests at once, 1 to 64; 64 without it. A stream on which a client listens is one of them.
             */
            concurrentRequests?: number | null;
            /**
             * Format: int64
             * @description After so many seconds it ends; without it, when it is revoked.
             */
            expiresInSeconds?: number | null;
            /**
             * Format: uuid
             * @description The one instance that it opens, by id; every MCP server of the toolbox without one.
             */
            instanceId?: string | null;
            /** @description A name by which you know it again. */
            name: string;
            /** @description Only tools that their server calls read-only (`readOnlyHint`) may be used. */
            readOnly?: boolean;
            /**
             * Format: int32
             * @description So many requests a minute, 1 to 600; 600 without it.
             */
            requestsPerMinute?: number | null;
            /**
             * Format: uuid
             * @description The user of this project to share with; they sign in as ever.
             */
            userId?: string | null;
        };
        /** @description Answer of `POST /{toolboxId}/mcp-access`. */
        GrantMcpAccessResponse: {
            /** @description What was given. */
            access: components["schemas"]["McpAccessView"];
            /** @description What to paste into which host, with the token. */
            hosts: components["schemas"]["McpHost"][];
            /** @description The request. */
            request_id: string;
            /** @description Always true; errors have the envelope. */
            success: boolean;
            /** @description The token, a secret, shown this once; none for a user or an application. */
            token?: string | null;
            /** @description The public URL of the one instance, or of the whole toolbox; each instance of a toolbox has one of its own, too. */
            url?: string | null;
        };
        /** @description Which of an agent's heartbeats one is. */
        HeartbeatNumbers: {
            /**
             * Format: int64
             * @description [`Heartbeat::boot`].
             */
            boot: number;
            /**
             * Format: int64
             * @description [`Heartbeat::sequence`].
             */
            sequence: number;
        };
        /**
         * @description Body of a `functions.invoke` call, and of `POST /{toolboxId}/tools`.
         *     Without `action` it is a deploy.
         */
        InvokeRequest: {
            action?: components["schemas"]["Action"] | null;
            baseConfigOverrideJson?: components["schemas"]["ConfigOverride"] | null;
            /** @description Keep streaming, for `logs`. */
            follow?: boolean | null;
            /** @description Instance id, or its name. */
            instanceId?: string | null;
            /** @description Name of the new instance, for `deploy`. */
            instanceNameOnToolbox?: string | null;
            /** @description Pin the tools that its MCP server lists first, for `deploy`. */
            pinTools?: boolean | null;
            since?: components["schemas"]["NumberOrText"] | null;
            stream?: components["schemas"]["LogFilter"] | null;
            tail?: components["schemas"]["NumberOrText"] | null;
            /** @description Catalog entry, for `deploy`. */
            toolCatalogId?: string | null;
            /**
             * Format: uuid
             * @description The toolbox; in the path otherwise.
             */
            toolboxId?: string | null;
        };
        /** @description Answer of `GET /{toolboxId}/mcp-access`. */
        ListMcpAccessResponse: {
            /** @description Newest first, also what is over; 1000 at most. */
            access: components["schemas"]["McpAccessView"][];
            /** @description The request. */
            request_id: string;
            /** @description Always true; errors have the envelope. */
            success: boolean;
        };
        /** @description Answer of `GET /mcp-servers`. */
        ListMcpServersResponse: {
            /** @description The request. */
            request_id: string;
            /** @description Those of the caller's toolboxes, then those shared with them. */
            servers: components["schemas"]["McpServerView"][];
            /** @description Always true; errors have the envelope. */
            success: boolean;
        };
        /** @description Answer of list. */
        ListResponse: {
            /** @description The agent. */
            agent: components["schemas"]["AgentView"];
            /** @description The same as `agent.message`, under the predecessor's name. */
            connection_error?: string | null;
            /** @description The same as `agent.reachable`, under the predecessor's name. */
            dtma_connected: boolean;
            /** @description Containers on the machine that are not the agent's. */
            foreign_containers: components["schemas"]["ForeignContainer"][];
            /** @description When the agent was asked. */
            last_checked: string;
            /** @description Instances the agent holds that have no row. */
            orphan_tools: components["schemas"]["ToolView"][];
            /** @description The request. */
            request_id: string;
            /** @description The agent answered; when false the rows are the last known state. */
            success: boolean;
            /** @description The instances of the database, joined with the agent's view. */
            tool_instances: components["schemas"]["ToolInstanceView"][];
        };
        /** @description What the agent says of an instance beyond its row. */
        LiveState: {
            /**
             * Format: int64
             * @description Exit code of the last end.
             */
            exit_code?: number | null;
            health?: components["schemas"]["ContainerHealth"] | null;
            /** @description Where it is. */
            phase: components["schemas"]["Phase"];
            progress?: components["schemas"]["Progress"] | null;
            reason?: components["schemas"]["Reason"] | null;
            /**
             * Format: int32
             * @description Restarts by the agent.
             */
            restart_count: number;
            /** @description The agent is done with this generation. */
            settled: boolean;
            /** @description Last start of the container. */
            started_at?: string | null;
            /** @description The last update failed: `reason` says why, and the version before it runs. */
            update_failed?: boolean;
        };
        /**
         * @description Which output `logs` shows. Without one: `stderr` of an MCP server over standard streams, whose `stdout` is the protocol;
         *     `all` of any other.
         * @enum {string}
         */
        LogFilter: "stdout" | "stderr" | "all";
        /** @description One line of `GET /tools/{id}/logs` (`application/x-ndjson`). */
        LogLine: {
            /** @description The text, at most 16 KiB. */
            line: string;
            /** @description `stdout` or `stderr`. */
            stream: components["schemas"]["LogStream"];
            /** @description When Docker or the agent received it, RFC 3339 in UTC with nine digits of a second. */
            time?: string | null;
            /** @description The line was longer and was cut. */
            truncated?: boolean;
        };
        /**
         * @description Where a log line was written.
         * @enum {string}
         */
        LogStream: "stdout" | "stderr";
        /** @description Answer of logs without `follow`. */
        LogsResponse: {
            /** @description The same lines with stream and time. */
            entries: components["schemas"]["LogLine"][];
            /**
             * Format: uuid
             * @description The instance.
             */
            instanceId: string;
            /** @description The lines as text, oldest first. */
            logs: string[];
            /** @description The request. */
            request_id: string;
            /** @description Always true; errors have the envelope. */
            success: boolean;
            /** @description Now. */
            timestamp: string;
            via?: components["schemas"]["Via"] | null;
        };
        /** @description Tools that were accepted. */
        McpAccepted: {
            /** @description When they were accepted. */
            accepted_at: string;
            /** @description Their fingerprint. */
            fingerprint: string;
            /** @description How many they are. None where the server listed others before they could be read: then `added` has all that it lists now. */
            tool_count?: number | null;
        };
        /** @description Answer of mcp: what an MCP client needs to call the instance's server, by the project's URL or at the machine itself. */
        McpAccessResponse: {
            /** @description The one certificate the machine answers with, PEM; none where the machine is this one and speaks plain HTTP. */
            certificate?: string | null;
            /** @description What to paste into which host for that URL, with sign-in and with a token. `TOOLBOX_MCP_TOKEN` stands where the token belongs. */
            hosts: components["schemas"]["McpHost"][];
            /**
             * Format: uuid
             * @description The instance.
             */
            instance_id: string;
            /** @description The server at the project's own URL, for clients anywhere; `POST /{toolboxId}/mcp-access` gives tokens for it. */
            public_url: string;
            /** @description The request. */
            request_id: string;
            /** @description Always true; errors have the envelope. */
            success: boolean;
            /** @description The bearer token of this endpoint, a secret. It is good until the toolbox's keys are replaced. */
            token: string;
            /**
             * @description The endpoint on the machine, for clients that can be given its certificate; it speaks streamable HTTP, whatever the
             *     server itself speaks.
             */
            url: string;
        };
        /** @description An access to MCP servers. Times are RFC 3339. */
        McpAccessView: {
            /** @description The tools that may be used; all without a list. */
            allowed_tools?: string[] | null;
            /** @description The application that acts for that user; none for the user. */
            client_id?: string | null;
            /**
             * Format: int32
             * @description Requests that may be under way at once; as many as of anybody without it.
             */
            concurrent_requests?: number | null;
            /** @description When it was given. */
            created_at: string;
            /** @description When it ends. */
            expires_at?: string | null;
            /**
             * Format: uuid
             * @description Names it when it is revoked.
             */
            id: string;
            /**
             * Format: uuid
             * @description The one instance; every MCP server of the toolbox without one.
             */
            instance_id?: string | null;
            /** @description What the client that used it then calls itself. */
            last_client?: string | null;
            /** @description When it was last used, to the minute. */
            last_used_at?: string | null;
            /** @description Its name. */
            name: string;
            /** @description Only tools that their server calls read-only may be used. */
            read_only: boolean;
            /**
             * Format: int32
             * @description Requests that may be made in a minute; as many as of anybody without it.
             */
            requests_per_minute?: number | null;
            /** @description When it was revoked; from then on it opens nothing. */
            revoked_at?: string | null;
            /**
             * Format: uuid
             * @description The toolbox.
             */
            toolbox_id: string;
            /**
             * Format: uuid
             * @description The user it is shared with; none for a token.
             */
            user_id?: string | null;
        };
        /** @description What is known of an MCP server. Every state has its evidence and its age. Times are RFC 3339 in UTC. */
        McpHealth: {
            /** @description When it was last asked. */
            checked_at: string;
            /** @description Why, in words, such as `tools/list was not answered within 5 s`. */
            evidence: string;
            /** @description When it last listed its tools. */
            last_success_at?: string | null;
            /**
             * Format: int32
             * @description Time of the last successful check, in milliseconds.
             */
            latency_ms?: number | null;
            /** @description Protocol revision it speaks, such as `2025-11-25`. */
            protocol_version?: string | null;
            /** @description Name it gives itself. */
            server_name?: string | null;
            /** @description Version it gives itself. */
            server_version?: string | null;
            /** @description When it came into this state. */
            since: string;
            /** @description How it is. */
            state: components["schemas"]["McpState"];
            /**
             * Format: int32
             * @description Number of its tools.
             */
            tool_count?: number | null;
            tools_changed?: components["schemas"]["ToolsChanged"] | null;
            /** @description SHA-256 over names, descriptions and schemas of its tools, 64 hexadecimal digits. */
            tools_fingerprint?: string | null;
        };
        /** @description How one host of MCP clients is told of a server. */
        McpHost: {
            /** @description How the client proves who it acts for. */
            auth: components["schemas"]["McpHostAuth"];
            /** @description The host, such as `claude-code`. */
            host: string;
            /** @description What `text` is. */
            kind: components["schemas"]["McpHostKind"];
            /** @description What to run, to paste, or to open. Where no token is known it says `TOOLBOX_MCP_TOKEN`. */
            text: string;
        };
        /**
         * @description How a client proves who it acts for.
         * @enum {string}
         */
        McpHostAuth: "oauth" | "token";
        /**
         * @description What a host is given.
         * @enum {string}
         */
        McpHostKind: "command" | "file" | "link" | "url";
        /** @description Which tools of an MCP server were accepted, which it lists now, and what differs. */
        McpPin: {
            accepted?: components["schemas"]["McpAccepted"] | null;
            /** @description Definitions that are new since. */
            added: Record<string, never>[];
            /** @description Definitions that are others since. */
            changed: components["schemas"]["McpToolChange"][];
            /** @description Fingerprint of the tools that the server lists now: what `PUT` takes. None where it could not be asked. */
            current_fingerprint?: string | null;
            /** @description The tools that it lists first will be pinned, as its deployment asked. Until then no client is let in. */
            pending: boolean;
            /** @description Why it could not be asked, or what the difference does not tell, in words. */
            problem?: string | null;
            /** @description Definitions that are gone since. */
            removed: Record<string, never>[];
        };
        /** @description Answer of `GET`, `PUT` and `DELETE /{toolboxId}/tools/{instance}/mcp/pin`. */
        McpPinResponse: {
            /** @description What was accepted, and what differs. */
            pin: components["schemas"]["McpPin"];
            /** @description The request. */
            request_id: string;
            /** @description Always true; errors have the envelope. */
            success: boolean;
        };
        /** @description An MCP server that a user may use, and may let applications use. */
        McpServerView: {
            /** @description The tools that are shared; all without a list. */
            allowed_tools?: string[] | null;
            /** @description When the share ends. */
            expires_at?: string | null;
            /**
             * Format: uuid
             * @description The instance.
             */
            instance_id: string;
            /** @description The toolbox is the caller's; otherwise the server is shared with them. */
            is_own: boolean;
            /** @description Its name. */
            name: string;
            /** @description Only tools that the server calls read-only are shared. */
            read_only: boolean;
            /** @description Its name. */
            toolbox: string;
            /**
             * Format: uuid
             * @description The toolbox.
             */
            toolbox_id: string;
            /** @description The public URL. */
            url?: string;
        };
        /**
         * @description How an MCP server is.
         * @enum {string}
         */
        McpState: "starting" | "healthy" | "degraded" | "unhealthy" | "unreachable" | "not-mcp" | "idle";
        /** @description A tool whose definition is another. */
        McpToolChange: {
            /** @description As it is now. */
            after: Record<string, never>;
            /** @description As it was accepted. */
            before: Record<string, never>;
            /** @description Its name. */
            name: string;
        };
        /** @description Answer of `GET /{toolboxId}/mcp`: what MCP clients need to use every MCP server of a toolbox by one URL. */
        McpToolboxResponse: {
            /** @description What to paste into which host for that URL, with sign-in and with a token. `TOOLBOX_MCP_TOKEN` stands where the token belongs. */
            hosts: components["schemas"]["McpHost"][];
            /** @description The URL, for clients anywhere; `POST /{toolboxId}/mcp-access` gives tokens for it. */
            public_url: string;
            /** @description The request. */
            request_id: string;
            /** @description Always true; errors have the envelope. */
            success: boolean;
        };
        /** @description Use of one tool by one client on one day. */
        McpUsage: {
            /**
             * Format: int64
             * @description Bytes of requests and answers.
             */
            bytes: number;
            /**
             * Format: int64
             * @description Calls.
             */
            calls: number;
            /** @description What the client calls itself, without its version; `(other)` for those beyond what an agent counts. */
            client: string;
            /** @description `YYYY-MM-DD`, in UTC. */
            day: string;
            /**
             * Format: int64
             * @description Those of them that failed: an error, a result that says so (`isError`), or no answer.
             */
            errors: number;
            /**
             * Format: int64
             * @description Half of the calls took so many milliseconds at most, rounded up to one of a few bounds.
             */
            p50_ms: number;
            /**
             * Format: int64
             * @description 95 of 100 calls did.
             */
            p95_ms: number;
            /** @description The tool; `(other)` for those that the server does not list. */
            tool: string;
        };
        /** @description Answer of `GET /{toolboxId}/tools/{instance}/mcp/usage`. */
        McpUsageResponse: {
            /** @description The request. */
            request_id: string;
            /** @description Always true; errors have the envelope. */
            success: boolean;
            /** @description By day, the newest first, tool and client; 1000 at most. */
            usage: components["schemas"]["McpUsage"][];
        };
        /** @description Answer of deploy, start, stop, restart, update and delete. */
        MutationResponse: {
            /** @description What was asked for. */
            action: components["schemas"]["Action"];
            /**
             * Format: uuid
             * @description The instance's id, under the predecessor's name.
             */
            id: string;
            /**
             * Format: uuid
             * @description The instance's id.
             */
            instanceId: string;
            /** @description A sentence for the user. */
            message: string;
            /** @description The operation. */
            operation: components["schemas"]["OperationView"];
            /** @description The request. */
            request_id: string;
            /** @description Lifecycle status now; `deleted` once it is gone. */
            status: string;
            /** @description True: the request was accepted (202), or its end was observed (200, 201). */
            success: boolean;
            /** @description Now. */
            timestamp: string;
            tool_instance?: components["schemas"]["ToolInstanceView"] | null;
            via?: components["schemas"]["Via"] | null;
        };
        /** @description A quantity or a time, as a number or as text. */
        NumberOrText: number | string;
        /**
         * @description How far an operation is.
         * @enum {string}
         */
        OperationState: "in_progress" | "succeeded" | "failed" | "abandoned";
        /** @description One mutation of an instance. */
        OperationView: {
            /** @description What was asked for. */
            action: string;
            /**
             * Format: uuid
             * @description Id.
             */
            id: string;
            /** @description When another may take over. */
            lease_expires_at?: string | null;
            /** @description The request that began it. */
            request_id?: string | null;
            /** @description When it began. */
            started_at?: string | null;
            /** @description How far it is. */
            state: components["schemas"]["OperationState"];
        };
        /**
         * @description Where an instance is, as Docker shows it.
         * @enum {string}
         */
        Phase: "pending" | "pulling" | "building" | "creating" | "starting" | "running" | "stopping" | "stopped" | "removing" | "error";
        /** @description Body of `PUT /{toolboxId}/tools/{instance}/mcp/pin`. */
        PinMcpToolsRequest: {
            /** @description `current_fingerprint` as `GET` answered it: what the owner has seen. */
            fingerprint: string;
        };
        /** @description A port as published. */
        PortBinding: {
            /**
             * Format: int32
             * @description Port inside the container.
             */
            container_port: number;
            /** @description Address on the machine. */
            host_ip: string;
            /**
             * Format: int32
             * @description Port on the machine.
             */
            host_port: number;
            /** @description `tcp` or `udp`. */
            protocol?: components["schemas"]["Protocol"];
        };
        /** @description A port to publish. */
        PortMapping: {
            /**
             * Format: int32
             * @description Port inside the container.
             */
            containerPort: number;
            /**
             * Format: int32
             * @description Port on the machine; allocated when absent.
             */
            hostPort?: number | null;
            /** @description `tcp` unless given. */
            protocol?: components["schemas"]["Protocol"];
        };
        /** @description Progress of a pull or a build. */
        Progress: {
            /**
             * Format: int64
             * @description Bytes done, where Docker tells.
             */
            current_bytes?: number | null;
            /**
             * Format: int32
             * @description Image layers done.
             */
            layers_done: number;
            /**
             * Format: int32
             * @description Image layers known so far.
             */
            layers_total: number;
            /** @description What is going on, in Docker's words, such as `Downloading`. */
            stage: string;
            /**
             * Format: int64
             * @description Bytes in all, where Docker tells.
             */
            total_bytes?: number | null;
        };
        /**
         * @description Transport protocol of a port.
         * @enum {string}
         */
        Protocol: "tcp" | "udp";
        /** @description Why something is not as desired. */
        Reason: {
            /** @description Stable code, such as `image_not_found`. */
            code: string;
            /** @description A sentence for the user; never a secret. */
            message: string;
        };
        /** @description Limits, as people write them. */
        ResourceOverride: {
            /** @default null */
            cpu?: components["schemas"]["NumberOrText"] | null;
            /** @default null */
            disk?: components["schemas"]["NumberOrText"] | null;
            /** @default null */
            memory?: components["schemas"]["NumberOrText"] | null;
            /**
             * Format: int32
             * @description Most processes and threads.
             * @default null
             */
            pids?: number | null;
        };
        /** @description Answer of `DELETE /{toolboxId}/mcp-access/{accessId}`. */
        RevokeMcpAccessResponse: {
            /** @description What opens nothing any more. */
            access: components["schemas"]["McpAccessView"];
            /** @description The request. */
            request_id: string;
            /** @description Always true; errors have the envelope. */
            success: boolean;
        };
        /** @description Answer of `DELETE /mcp-clients/{clientId}`. */
        RevokeMcpClientResponse: {
            /**
             * Format: int32
             * @description How many accesses of the application open nothing any more.
             */
            ended: number;
            /** @description The request. */
            request_id: string;
            /** @description Always true; errors have the envelope. */
            success: boolean;
        };
        /**
         * @description Where the state in a view comes from.
         * @enum {string}
         */
        StateSource: "live" | "last_known";
        /** @description A tool instance as callers see it. */
        ToolInstanceView: {
            /** @description Docker's id of the container. */
            container_id?: string | null;
            /** @description Docker's name of it. */
            container_name: string;
            /** @description When the row was made. */
            created_at: string;
            /** @description What the user asked for: `running`, `stopped` or `absent`. */
            desired_status: string;
            /** @description Path of the MCP endpoint. */
            endpoint_path?: string | null;
            error?: components["schemas"]["Reason"] | null;
            /**
             * Format: int64
             * @description Grows with every change asked for.
             */
            generation: number;
            /**
             * Format: uuid
             * @description Id.
             */
            id: string;
            /** @description Image as asked for. */
            image: string;
            /** @description Content id of the image that runs. */
            image_digest?: string | null;
            /** @description The same text as `error.message`, under the predecessor's name. */
            instance_error_message?: string | null;
            /** @description Display name. */
            instance_name_on_toolbox: string;
            live?: components["schemas"]["LiveState"] | null;
            mcp?: components["schemas"]["McpHealth"] | null;
            /** @description The tools that it lists first will be pinned; until it has listed some, no client is let in. */
            mcp_pin_pending: boolean;
            /**
             * @description Fingerprint of the tools that its owner accepted; none while they are not pinned. Clients that come by a public URL are
             *     held back while `mcp.tools_fingerprint` is another.
             */
            mcp_pinned_fingerprint?: string | null;
            /** @description Published ports. */
            ports: components["schemas"]["PortBinding"][];
            /**
             * Format: int64
             * @description Seconds since then; 0 for a live state.
             */
            state_age_seconds?: number | null;
            /** @description When the state was last observed on the machine. */
            state_observed_at?: string | null;
            /** @description Where the state comes from. */
            state_source: components["schemas"]["StateSource"];
            /**
             * @description Lifecycle status.
             * @example running
             */
            status_on_toolbox: string;
            /**
             * Format: uuid
             * @description Catalog entry.
             */
            tool_catalog_id?: string | null;
            /** @description MCP transport. */
            transport?: string | null;
            /** @description Since when the state is not known, because the machine does not report; `state_source` is then `last_known`. */
            unknown_since?: string | null;
            /** @description When the row last changed. */
            updated_at: string;
            /** @description Version of the tool, where its catalog entry says. */
            version?: string | null;
        };
        /** @description What an instance was asked to run at one time. */
        ToolVersion: {
            /** @description Id of the user, or of the toolbox whose agent it was. */
            actor_id?: string | null;
            /** @description Who brought it: `user`, `agent` (an update failed there), `control_plane` or `database`. */
            actor_kind: string;
            /** @description When it was asked for. */
            created_at: string;
            /** @description It is what the instance is asked to run now. */
            current: boolean;
            /** @description How it differs from what the instance is asked to run now. */
            differences: components["schemas"]["VersionDifference"][];
            /**
             * Format: int64
             * @description The generation that brought it: its name.
             */
            generation: number;
            /** @description Image as asked for. */
            image: string;
            /** @description Content id of the image that it was last seen running. */
            image_digest?: string | null;
            /** @description When it was first seen running; none: never. */
            ran_at?: string | null;
            /**
             * Format: int64
             * @description The generation of the version that it brought back.
             */
            restores?: number | null;
            /**
             * @description What a rollback to it asks for: the image by the digest that its registry had it under, where that was seen. Otherwise it
             *     is the same as `image`, and what that names may be another image by now.
             */
            rollback_image: string;
        };
        /** @description Answer of `GET /{toolboxId}/tools/{instance}/versions`. */
        ToolVersionsResponse: {
            /**
             * Format: uuid
             * @description The instance.
             */
            instance_id: string;
            /** @description The request. */
            request_id: string;
            /** @description Always true; errors have the envelope. */
            success: boolean;
            /** @description The versions that are kept, newest first: 10 at most. The first is what the instance is asked to run now. */
            versions: components["schemas"]["ToolVersion"][];
        };
        /** @description What the agent knows of an instance. Times are RFC 3339 in UTC. */
        ToolView: {
            /** @description Docker's id of the container. */
            container_id?: string | null;
            /** @description The container's name in Docker. */
            container_name: string;
            /** @description What it should be. */
            desired: components["schemas"]["Desired"];
            /**
             * Format: int64
             * @description Exit code of the last end.
             */
            exit_code?: number | null;
            /** @description Last end of the container. */
            finished_at?: string | null;
            /**
             * Format: int64
             * @description Generation of the desired state the agent holds.
             */
            generation: number;
            health?: components["schemas"]["ContainerHealth"] | null;
            /**
             * Format: uuid
             * @description The instance id.
             */
            id: string;
            /** @description Image as asked for. */
            image: string;
            /** @description Content id of the image that runs, `sha256:…`. */
            image_digest?: string | null;
            mcp?: components["schemas"]["McpHealth"] | null;
            /** @description The user's name of it. */
            name: string;
            /** @description What it is. */
            phase: components["schemas"]["Phase"];
            /** @description Published ports. */
            ports: components["schemas"]["PortBinding"][];
            progress?: components["schemas"]["Progress"] | null;
            reason?: components["schemas"]["Reason"] | null;
            /** @description Digest by which its registry has that image, `sha256:…`; none where it came from no registry. */
            registry_digest?: string | null;
            /**
             * Format: int32
             * @description Restarts by the agent since it was last deployed or started by a command.
             */
            restart_count?: number;
            /**
             * @description What this generation asks for was given up, and the spec before it runs. False again once the control plane has
             *     taken the failed spec back.
             */
            rolled_back?: boolean;
            /** @description The agent is done with this generation: it is as desired, or `error`. */
            settled: boolean;
            /** @description Last start of the container. */
            started_at?: string | null;
            /**
             * @description The last update failed: `reason` says why, and the version before it runs. True until the next command, also after
             *     the control plane has taken the failed spec back.
             */
            update_failed?: boolean;
            /** @description When this view last changed. */
            updated_at: string;
            version?: components["schemas"]["ViewVersion"] | null;
        };
        /** @description What differs between two lists of tools, by name. */
        ToolsChanged: {
            /** @description Tools that are new. */
            added: string[];
            /** @description Tools whose description or schemas are others. */
            changed: string[];
            /** @description Fingerprint of the list before. */
            from_fingerprint: string;
            /** @description Tools that are gone. */
            removed: string[];
        };
        /**
         * @description How an MCP server is spoken to, or that the tool is none.
         * @enum {string}
         */
        TransportOverride: "none" | "stdio" | "streamable-http" | "sse" | "websocket";
        /** @description Body of `PATCH /{toolboxId}/tools/{instance}`; what is absent stays as it is. */
        UpdateToolRequest: {
            /** @description What changes. */
            baseConfigOverrideJson: components["schemas"]["ConfigOverride"];
        };
        /**
         * @description Where a setting is set.
         * @enum {string}
         */
        VersionChange: "removed" | "added" | "changed";
        /** @description One setting that is another one now. */
        VersionDifference: {
            /** @description Whether it is set in the version, and now. */
            change: components["schemas"]["VersionChange"];
            /** @description The setting, as `baseConfigOverrideJson` names it, such as `dockerImage`, `environmentVariables.TOKEN` or `resources.memory`. */
            field: string;
            /** @description The values are not told, because they may be secrets: those of variables, headers, the command and the entry point. */
            hidden: boolean;
            /** @description Its value now. */
            now?: unknown;
            /** @description Its value in the version; null when it is not set there, or not told. */
            then?: unknown;
        };
        /**
         * @description How a machine was reached where its agent could not be.
         * @enum {string}
         */
        Via: "ssh";
        /**
         * @description Which of an agent's views one is. Of two of one run the greater number was made later; those of different runs cannot
         *     be compared.
         */
        ViewVersion: {
            /**
             * Format: int64
             * @description From 1, over all instances.
             */
            number: number;
            /**
             * Format: uuid
             * @description The run of the agent that made it.
             */
            run: string;
        };
        /** @description A named volume of the instance, removed with it. */
        VolumeSpec: {
            /** @description Name within the instance: lower-case letters, digits, `-`. */
            name: string;
            /** @description Absolute path inside the container. */
            path: string;
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    invoke: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["InvokeRequest"];
            };
        };
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["MutationResponse"];
                };
            };
            /** @description It runs */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["MutationResponse"];
                };
            };
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["MutationResponse"];
                };
            };
            /**
             * @description `invalid_json`: The request body is not valid JSON of the expected shape
             *
             *     `invalid_request`: The request is malformed
             *
             *     `invalid_action`: The action is unknown
             */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `authentication_required`: Sign in and send the access token as a bearer token
             *
             *     `invalid_token`: The access token is not valid
             *
             *     `user_token_required`: An API key is not a user; send the user's access token
             */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `forbidden`: The caller may not do this
             *
             *     `anonymous_refused`: Anonymous users may not use this; sign in with an account
             */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `toolbox_not_found`: No such toolbox, or not yours
             *
             *     `instance_not_found`: No such tool instance, or not yours
             *
             *     `catalog_tool_not_found`: No such entry in the tool catalog
             */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `body_too_slow`: The request body did not arrive in time */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `operation_in_progress`: Another operation on this instance is in progress
             *
             *     `name_taken`: Another instance of this toolbox has this name
             *
             *     `illegal_state`: The state of the instance does not allow this
             *
             *     `state_changed`: The state of the instance changed meanwhile; read it and try again
             *
             *     `toolbox_not_active`: The toolbox is not active
             */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `body_too_large`: The request body is too large */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `unsupported_media_type`: Send application/json */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `validation_failed`: The request breaks a rule
             *
             *     `idempotency_key_reused`: The idempotency key was used for a different request
             */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `quota_exceeded`: The toolbox holds as many instances as it may */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `internal`: Internal error
             *
             *     `not_configured`: The function is not configured
             *
             *     `agent_pin_unsupported`: The runtime of this function cannot verify the agent's certificate; it needs Deno.createHttpClient with the options caCerts and proxy
             */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `deploy_failed`: The instance could not be deployed
             *
             *     `start_failed`: The instance could not be started
             *
             *     `stop_failed`: The instance could not be stopped
             *
             *     `update_failed`: The instance could not be updated
             *
             *     `delete_failed`: The instance could not be deleted
             *
             *     `agent_bad_response`: The agent's answer could not be understood
             *
             *     `agent_failed`: The agent failed
             *
             *     `agent_too_old`: The agent is too old; redeploy it
             *
             *     `agent_unauthorized`: The agent refused the toolbox's key
             *
             *     `agent_certificate_invalid`: What answers at the agent's address does not have the enrolled certificate; update the agent and enrol the toolbox again
             *
             *     `docker_failed`: Docker on the machine reported a failure
             *
             *     `agent_store_failed`: The agent could not store the desired state
             *
             *     `database_bad_response`: The database's answer could not be understood
             */
            502: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `agent_unreachable`: The agent cannot be reached
             *
             *     `toolbox_not_ready`: The toolbox has no address yet
             *
             *     `agent_not_enrolled`: The agent has not enrolled its certificate yet
             *
             *     `docker_unreachable`: Docker on the machine does not answer
             *
             *     `database_unreachable`: The database cannot be reached
             *
             *     `auth_unreachable`: The keys to check access tokens cannot be read
             */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `agent_timeout`: The agent did not answer in time
             *
             *     `docker_timeout`: Docker on the machine did not answer in time
             *
             *     `database_timeout`: The database did not answer in time
             */
            504: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    list_mcp_clients: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ListMcpAccessResponse"];
                };
            };
            /** @description `invalid_request`: The request is malformed */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `authentication_required`: Sign in and send the access token as a bearer token
             *
             *     `invalid_token`: The access token is not valid
             *
             *     `user_token_required`: An API key is not a user; send the user's access token
             */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `forbidden`: The caller may not do this
             *
             *     `anonymous_refused`: Anonymous users may not use this; sign in with an account
             */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `toolbox_not_found`: No such toolbox, or not yours */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `internal`: Internal error
             *
             *     `not_configured`: The function is not configured
             */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `database_bad_response`: The database's answer could not be understood */
            502: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `database_unreachable`: The database cannot be reached
             *
             *     `auth_unreachable`: The keys to check access tokens cannot be read
             */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `database_timeout`: The database did not answer in time */
            504: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    revoke_mcp_client: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                clientId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["RevokeMcpClientResponse"];
                };
            };
            /** @description `invalid_request`: The request is malformed */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `authentication_required`: Sign in and send the access token as a bearer token
             *
             *     `invalid_token`: The access token is not valid
             *
             *     `user_token_required`: An API key is not a user; send the user's access token
             */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `forbidden`: The caller may not do this
             *
             *     `anonymous_refused`: Anonymous users may not use this; sign in with an account
             */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `toolbox_not_found`: No such toolbox, or not yours
             *
             *     `mcp_access_not_found`: No such access to MCP servers, or not yours
             */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `body_too_slow`: The request body did not arrive in time */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `operation_in_progress`: Another operation on this instance is in progress
             *
             *     `illegal_state`: The state of the instance does not allow this
             *
             *     `state_changed`: The state of the instance changed meanwhile; read it and try again
             *
             *     `toolbox_not_active`: The toolbox is not active
             */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `body_too_large`: The request body is too large */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `validation_failed`: The request breaks a rule
             *
             *     `idempotency_key_reused`: The idempotency key was used for a different request
             */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `internal`: Internal error
             *
             *     `not_configured`: The function is not configured
             *
             *     `agent_pin_unsupported`: The runtime of this function cannot verify the agent's certificate; it needs Deno.createHttpClient with the options caCerts and proxy
             */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `delete_failed`: The instance could not be deleted
             *
             *     `agent_bad_response`: The agent's answer could not be understood
             *
             *     `agent_failed`: The agent failed
             *
             *     `agent_too_old`: The agent is too old; redeploy it
             *
             *     `agent_unauthorized`: The agent refused the toolbox's key
             *
             *     `agent_certificate_invalid`: What answers at the agent's address does not have the enrolled certificate; update the agent and enrol the toolbox again
             *
             *     `docker_failed`: Docker on the machine reported a failure
             *
             *     `agent_store_failed`: The agent could not store the desired state
             *
             *     `database_bad_response`: The database's answer could not be understood
             */
            502: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `agent_unreachable`: The agent cannot be reached
             *
             *     `toolbox_not_ready`: The toolbox has no address yet
             *
             *     `agent_not_enrolled`: The agent has not enrolled its certificate yet
             *
             *     `docker_unreachable`: Docker on the machine does not answer
             *
             *     `database_unreachable`: The database cannot be reached
             *
             *     `auth_unreachable`: The keys to check access tokens cannot be read
             */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `agent_timeout`: The agent did not answer in time
             *
             *     `docker_timeout`: Docker on the machine did not answer in time
             *
             *     `database_timeout`: The database did not answer in time
             */
            504: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    list_mcp_servers: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ListMcpServersResponse"];
                };
            };
            /** @description `invalid_request`: The request is malformed */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `authentication_required`: Sign in and send the access token as a bearer token
             *
             *     `invalid_token`: The access token is not valid
             *
             *     `user_token_required`: An API key is not a user; send the user's access token
             */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `forbidden`: The caller may not do this
             *
             *     `anonymous_refused`: Anonymous users may not use this; sign in with an account
             */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `toolbox_not_found`: No such toolbox, or not yours */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `internal`: Internal error
             *
             *     `not_configured`: The function is not configured
             */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `database_bad_response`: The database's answer could not be understood */
            502: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `database_unreachable`: The database cannot be reached
             *
             *     `auth_unreachable`: The keys to check access tokens cannot be read
             */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `database_timeout`: The database did not answer in time */
            504: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    mcp_of_toolbox: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                toolboxId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["McpToolboxResponse"];
                };
            };
            /** @description `invalid_request`: The request is malformed */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `authentication_required`: Sign in and send the access token as a bearer token
             *
             *     `invalid_token`: The access token is not valid
             *
             *     `user_token_required`: An API key is not a user; send the user's access token
             */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `forbidden`: The caller may not do this
             *
             *     `anonymous_refused`: Anonymous users may not use this; sign in with an account
             */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `toolbox_not_found`: No such toolbox, or not yours */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `internal`: Internal error
             *
             *     `not_configured`: The function is not configured
             */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `database_bad_response`: The database's answer could not be understood */
            502: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `database_unreachable`: The database cannot be reached
             *
             *     `auth_unreachable`: The keys to check access tokens cannot be read
             */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `database_timeout`: The database did not answer in time */
            504: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    list_mcp_access: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                toolboxId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ListMcpAccessResponse"];
                };
            };
            /** @description `invalid_request`: The request is malformed */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `authentication_required`: Sign in and send the access token as a bearer token
             *
             *     `invalid_token`: The access token is not valid
             *
             *     `user_token_required`: An API key is not a user; send the user's access token
             */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `forbidden`: The caller may not do this
             *
             *     `anonymous_refused`: Anonymous users may not use this; sign in with an account
             */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `toolbox_not_found`: No such toolbox, or not yours */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `internal`: Internal error
             *
             *     `not_configured`: The function is not configured
             */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `database_bad_response`: The database's answer could not be understood */
            502: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `database_unreachable`: The database cannot be reached
             *
             *     `auth_unreachable`: The keys to check access tokens cannot be read
             */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `database_timeout`: The database did not answer in time */
            504: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    give_mcp_access: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                toolboxId: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["GrantMcpAccessRequest"];
            };
        };
        responses: {
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["GrantMcpAccessResponse"];
                };
            };
            /**
             * @description `invalid_json`: The request body is not valid JSON of the expected shape
             *
             *     `invalid_request`: The request is malformed
             */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `authentication_required`: Sign in and send the access token as a bearer token
             *
             *     `invalid_token`: The access token is not valid
             *
             *     `user_token_required`: An API key is not a user; send the user's access token
             */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `forbidden`: The caller may not do this
             *
             *     `anonymous_refused`: Anonymous users may not use this; sign in with an account
             */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `toolbox_not_found`: No such toolbox, or not yours
             *
             *     `instance_not_found`: No such tool instance, or not yours
             */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `body_too_slow`: The request body did not arrive in time */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `body_too_large`: The request body is too large */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `unsupported_media_type`: Send application/json */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `validation_failed`: The request breaks a rule */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `quota_exceeded`: The toolbox holds as many instances as it may */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `internal`: Internal error
             *
             *     `not_configured`: The function is not configured
             */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `database_bad_response`: The database's answer could not be understood */
            502: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `database_unreachable`: The database cannot be reached
             *
             *     `auth_unreachable`: The keys to check access tokens cannot be read
             */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `database_timeout`: The database did not answer in time */
            504: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    revoke_mcp_access: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                toolboxId: string;
                accessId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["RevokeMcpAccessResponse"];
                };
            };
            /** @description `invalid_request`: The request is malformed */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `authentication_required`: Sign in and send the access token as a bearer token
             *
             *     `invalid_token`: The access token is not valid
             *
             *     `user_token_required`: An API key is not a user; send the user's access token
             */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `forbidden`: The caller may not do this
             *
             *     `anonymous_refused`: Anonymous users may not use this; sign in with an account
             */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `toolbox_not_found`: No such toolbox, or not yours
             *
             *     `mcp_access_not_found`: No such access to MCP servers, or not yours
             */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `internal`: Internal error
             *
             *     `not_configured`: The function is not configured
             */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `delete_failed`: The instance could not be deleted
             *
             *     `database_bad_response`: The database's answer could not be understood
             */
            502: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `database_unreachable`: The database cannot be reached
             *
             *     `auth_unreachable`: The keys to check access tokens cannot be read
             */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `database_timeout`: The database did not answer in time */
            504: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    list: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                toolboxId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ListResponse"];
                };
            };
            /** @description `invalid_request`: The request is malformed */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `authentication_required`: Sign in and send the access token as a bearer token
             *
             *     `invalid_token`: The access token is not valid
             *
             *     `user_token_required`: An API key is not a user; send the user's access token
             */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `forbidden`: The caller may not do this
             *
             *     `anonymous_refused`: Anonymous users may not use this; sign in with an account
             */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `toolbox_not_found`: No such toolbox, or not yours */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `internal`: Internal error
             *
             *     `not_configured`: The function is not configured
             */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `database_bad_response`: The database's answer could not be understood */
            502: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `database_unreachable`: The database cannot be reached
             *
             *     `auth_unreachable`: The keys to check access tokens cannot be read
             */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `database_timeout`: The database did not answer in time */
            504: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    deploy: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string | null;
                /** @description wait=N seconds, N at most 60 */
                Prefer?: string | null;
            };
            path: {
                toolboxId: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["InvokeRequest"];
            };
        };
        responses: {
            /** @description As the action's own route answers */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["MutationResponse"];
                };
            };
            /** @description It runs */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["MutationResponse"];
                };
            };
            /** @description Accepted; not settled yet */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["MutationResponse"];
                };
            };
            /**
             * @description `invalid_json`: The request body is not valid JSON of the expected shape
             *
             *     `invalid_request`: The request is malformed
             *
             *     `invalid_action`: The action is unknown
             */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `authentication_required`: Sign in and send the access token as a bearer token
             *
             *     `invalid_token`: The access token is not valid
             *
             *     `user_token_required`: An API key is not a user; send the user's access token
             */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `forbidden`: The caller may not do this
             *
             *     `anonymous_refused`: Anonymous users may not use this; sign in with an account
             */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `toolbox_not_found`: No such toolbox, or not yours
             *
             *     `instance_not_found`: No such tool instance, or not yours
             *
             *     `catalog_tool_not_found`: No such entry in the tool catalog
             */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `body_too_slow`: The request body did not arrive in time */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `operation_in_progress`: Another operation on this instance is in progress
             *
             *     `name_taken`: Another instance of this toolbox has this name
             *
             *     `illegal_state`: The state of the instance does not allow this
             *
             *     `state_changed`: The state of the instance changed meanwhile; read it and try again
             *
             *     `toolbox_not_active`: The toolbox is not active
             */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `body_too_large`: The request body is too large */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `unsupported_media_type`: Send application/json */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `validation_failed`: The request breaks a rule
             *
             *     `idempotency_key_reused`: The idempotency key was used for a different request
             */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `quota_exceeded`: The toolbox holds as many instances as it may */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `internal`: Internal error
             *
             *     `not_configured`: The function is not configured
             *
             *     `agent_pin_unsupported`: The runtime of this function cannot verify the agent's certificate; it needs Deno.createHttpClient with the options caCerts and proxy
             */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `deploy_failed`: The instance could not be deployed
             *
             *     `start_failed`: The instance could not be started
             *
             *     `stop_failed`: The instance could not be stopped
             *
             *     `update_failed`: The instance could not be updated
             *
             *     `delete_failed`: The instance could not be deleted
             *
             *     `agent_bad_response`: The agent's answer could not be understood
             *
             *     `agent_failed`: The agent failed
             *
             *     `agent_too_old`: The agent is too old; redeploy it
             *
             *     `agent_unauthorized`: The agent refused the toolbox's key
             *
             *     `agent_certificate_invalid`: What answers at the agent's address does not have the enrolled certificate; update the agent and enrol the toolbox again
             *
             *     `docker_failed`: Docker on the machine reported a failure
             *
             *     `agent_store_failed`: The agent could not store the desired state
             *
             *     `database_bad_response`: The database's answer could not be understood
             */
            502: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `agent_unreachable`: The agent cannot be reached
             *
             *     `toolbox_not_ready`: The toolbox has no address yet
             *
             *     `agent_not_enrolled`: The agent has not enrolled its certificate yet
             *
             *     `docker_unreachable`: Docker on the machine does not answer
             *
             *     `database_unreachable`: The database cannot be reached
             *
             *     `auth_unreachable`: The keys to check access tokens cannot be read
             */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `agent_timeout`: The agent did not answer in time
             *
             *     `docker_timeout`: Docker on the machine did not answer in time
             *
             *     `database_timeout`: The database did not answer in time
             */
            504: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    get_instance: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                toolboxId: string;
                instance: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["GetResponse"];
                };
            };
            /** @description `invalid_request`: The request is malformed */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `authentication_required`: Sign in and send the access token as a bearer token
             *
             *     `invalid_token`: The access token is not valid
             *
             *     `user_token_required`: An API key is not a user; send the user's access token
             */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `forbidden`: The caller may not do this
             *
             *     `anonymous_refused`: Anonymous users may not use this; sign in with an account
             */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `toolbox_not_found`: No such toolbox, or not yours
             *
             *     `instance_not_found`: No such tool instance, or not yours
             */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `internal`: Internal error
             *
             *     `not_configured`: The function is not configured
             */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `database_bad_response`: The database's answer could not be understood */
            502: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `database_unreachable`: The database cannot be reached
             *
             *     `auth_unreachable`: The keys to check access tokens cannot be read
             */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `database_timeout`: The database did not answer in time */
            504: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    delete_instance: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string | null;
                Prefer?: string | null;
            };
            path: {
                toolboxId: string;
                instance: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["MutationResponse"];
                };
            };
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["MutationResponse"];
                };
            };
            /** @description `invalid_request`: The request is malformed */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `authentication_required`: Sign in and send the access token as a bearer token
             *
             *     `invalid_token`: The access token is not valid
             *
             *     `user_token_required`: An API key is not a user; send the user's access token
             */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `forbidden`: The caller may not do this
             *
             *     `anonymous_refused`: Anonymous users may not use this; sign in with an account
             */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `toolbox_not_found`: No such toolbox, or not yours
             *
             *     `instance_not_found`: No such tool instance, or not yours
             */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `body_too_slow`: The request body did not arrive in time */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `operation_in_progress`: Another operation on this instance is in progress
             *
             *     `illegal_state`: The state of the instance does not allow this
             *
             *     `state_changed`: The state of the instance changed meanwhile; read it and try again
             *
             *     `toolbox_not_active`: The toolbox is not active
             */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `body_too_large`: The request body is too large */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `validation_failed`: The request breaks a rule
             *
             *     `idempotency_key_reused`: The idempotency key was used for a different request
             */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `internal`: Internal error
             *
             *     `not_configured`: The function is not configured
             *
             *     `agent_pin_unsupported`: The runtime of this function cannot verify the agent's certificate; it needs Deno.createHttpClient with the options caCerts and proxy
             */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `delete_failed`: The instance could not be deleted
             *
             *     `agent_bad_response`: The agent's answer could not be understood
             *
             *     `agent_failed`: The agent failed
             *
             *     `agent_too_old`: The agent is too old; redeploy it
             *
             *     `agent_unauthorized`: The agent refused the toolbox's key
             *
             *     `agent_certificate_invalid`: What answers at the agent's address does not have the enrolled certificate; update the agent and enrol the toolbox again
             *
             *     `docker_failed`: Docker on the machine reported a failure
             *
             *     `agent_store_failed`: The agent could not store the desired state
             *
             *     `database_bad_response`: The database's answer could not be understood
             */
            502: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `agent_unreachable`: The agent cannot be reached
             *
             *     `toolbox_not_ready`: The toolbox has no address yet
             *
             *     `agent_not_enrolled`: The agent has not enrolled its certificate yet
             *
             *     `docker_unreachable`: Docker on the machine does not answer
             *
             *     `database_unreachable`: The database cannot be reached
             *
             *     `auth_unreachable`: The keys to check access tokens cannot be read
             */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `agent_timeout`: The agent did not answer in time
             *
             *     `docker_timeout`: Docker on the machine did not answer in time
             *
             *     `database_timeout`: The database did not answer in time
             */
            504: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    update: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string | null;
                Prefer?: string | null;
            };
            path: {
                toolboxId: string;
                instance: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["UpdateToolRequest"];
            };
        };
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["MutationResponse"];
                };
            };
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["MutationResponse"];
                };
            };
            /**
             * @description `invalid_json`: The request body is not valid JSON of the expected shape
             *
             *     `invalid_request`: The request is malformed
             */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `authentication_required`: Sign in and send the access token as a bearer token
             *
             *     `invalid_token`: The access token is not valid
             *
             *     `user_token_required`: An API key is not a user; send the user's access token
             */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `forbidden`: The caller may not do this
             *
             *     `anonymous_refused`: Anonymous users may not use this; sign in with an account
             */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `toolbox_not_found`: No such toolbox, or not yours
             *
             *     `instance_not_found`: No such tool instance, or not yours
             */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `body_too_slow`: The request body did not arrive in time */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `operation_in_progress`: Another operation on this instance is in progress
             *
             *     `illegal_state`: The state of the instance does not allow this
             *
             *     `state_changed`: The state of the instance changed meanwhile; read it and try again
             *
             *     `toolbox_not_active`: The toolbox is not active
             */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `body_too_large`: The request body is too large */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `unsupported_media_type`: Send application/json */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `validation_failed`: The request breaks a rule
             *
             *     `idempotency_key_reused`: The idempotency key was used for a different request
             */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `internal`: Internal error
             *
             *     `not_configured`: The function is not configured
             *
             *     `agent_pin_unsupported`: The runtime of this function cannot verify the agent's certificate; it needs Deno.createHttpClient with the options caCerts and proxy
             */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `update_failed`: The instance could not be updated
             *
             *     `agent_bad_response`: The agent's answer could not be understood
             *
             *     `agent_failed`: The agent failed
             *
             *     `agent_too_old`: The agent is too old; redeploy it
             *
             *     `agent_unauthorized`: The agent refused the toolbox's key
             *
             *     `agent_certificate_invalid`: What answers at the agent's address does not have the enrolled certificate; update the agent and enrol the toolbox again
             *
             *     `docker_failed`: Docker on the machine reported a failure
             *
             *     `agent_store_failed`: The agent could not store the desired state
             *
             *     `database_bad_response`: The database's answer could not be understood
             */
            502: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `agent_unreachable`: The agent cannot be reached
             *
             *     `toolbox_not_ready`: The toolbox has no address yet
             *
             *     `agent_not_enrolled`: The agent has not enrolled its certificate yet
             *
             *     `docker_unreachable`: Docker on the machine does not answer
             *
             *     `database_unreachable`: The database cannot be reached
             *
             *     `auth_unreachable`: The keys to check access tokens cannot be read
             */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `agent_timeout`: The agent did not answer in time
             *
             *     `docker_timeout`: Docker on the machine did not answer in time
             *
             *     `database_timeout`: The database did not answer in time
             */
            504: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    logs: {
        parameters: {
            query?: {
                /** @description lines from the end, at most 10000, or `all`; 100 when absent */
                tail?: string;
                /** @description RFC 3339, a date, Unix seconds, or how long ago, such as `10m` */
                since?: string;
                follow?: boolean;
                /** @description stderr of an MCP server over standard streams when absent, else all */
                stream?: components["schemas"]["LogFilter"];
            };
            header?: never;
            path: {
                toolboxId: string;
                instance: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["LogsResponse"];
                    "application/x-ndjson": components["schemas"]["LogLine"];
                };
            };
            /** @description `invalid_request`: The request is malformed */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `authentication_required`: Sign in and send the access token as a bearer token
             *
             *     `invalid_token`: The access token is not valid
             *
             *     `user_token_required`: An API key is not a user; send the user's access token
             */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `forbidden`: The caller may not do this
             *
             *     `anonymous_refused`: Anonymous users may not use this; sign in with an account
             */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `toolbox_not_found`: No such toolbox, or not yours
             *
             *     `instance_not_found`: No such tool instance, or not yours
             */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `internal`: Internal error
             *
             *     `not_configured`: The function is not configured
             *
             *     `agent_pin_unsupported`: The runtime of this function cannot verify the agent's certificate; it needs Deno.createHttpClient with the options caCerts and proxy
             */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `agent_bad_response`: The agent's answer could not be understood
             *
             *     `agent_failed`: The agent failed
             *
             *     `agent_too_old`: The agent is too old; redeploy it
             *
             *     `agent_unauthorized`: The agent refused the toolbox's key
             *
             *     `agent_certificate_invalid`: What answers at the agent's address does not have the enrolled certificate; update the agent and enrol the toolbox again
             *
             *     `docker_failed`: Docker on the machine reported a failure
             *
             *     `database_bad_response`: The database's answer could not be understood
             */
            502: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `agent_unreachable`: The agent cannot be reached
             *
             *     `toolbox_not_ready`: The toolbox has no address yet
             *
             *     `agent_not_enrolled`: The agent has not enrolled its certificate yet
             *
             *     `docker_unreachable`: Docker on the machine does not answer
             *
             *     `database_unreachable`: The database cannot be reached
             *
             *     `auth_unreachable`: The keys to check access tokens cannot be read
             */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `agent_timeout`: The agent did not answer in time
             *
             *     `docker_timeout`: Docker on the machine did not answer in time
             *
             *     `database_timeout`: The database did not answer in time
             */
            504: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    mcp: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                toolboxId: string;
                instance: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["McpAccessResponse"];
                };
            };
            /** @description `invalid_request`: The request is malformed */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `authentication_required`: Sign in and send the access token as a bearer token
             *
             *     `invalid_token`: The access token is not valid
             *
             *     `user_token_required`: An API key is not a user; send the user's access token
             */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `forbidden`: The caller may not do this
             *
             *     `anonymous_refused`: Anonymous users may not use this; sign in with an account
             */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `toolbox_not_found`: No such toolbox, or not yours
             *
             *     `instance_not_found`: No such tool instance, or not yours
             */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `illegal_state`: The state of the instance does not allow this */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `internal`: Internal error
             *
             *     `not_configured`: The function is not configured
             */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `agent_unauthorized`: The agent refused the toolbox's key
             *
             *     `database_bad_response`: The database's answer could not be understood
             */
            502: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `toolbox_not_ready`: The toolbox has no address yet
             *
             *     `agent_not_enrolled`: The agent has not enrolled its certificate yet
             *
             *     `database_unreachable`: The database cannot be reached
             *
             *     `auth_unreachable`: The keys to check access tokens cannot be read
             */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `database_timeout`: The database did not answer in time */
            504: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    mcp_pin: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                toolboxId: string;
                instance: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["McpPinResponse"];
                };
            };
            /** @description `invalid_request`: The request is malformed */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `authentication_required`: Sign in and send the access token as a bearer token
             *
             *     `invalid_token`: The access token is not valid
             *
             *     `user_token_required`: An API key is not a user; send the user's access token
             */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `forbidden`: The caller may not do this
             *
             *     `anonymous_refused`: Anonymous users may not use this; sign in with an account
             */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `toolbox_not_found`: No such toolbox, or not yours
             *
             *     `instance_not_found`: No such tool instance, or not yours
             */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `illegal_state`: The state of the instance does not allow this */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `internal`: Internal error
             *
             *     `not_configured`: The function is not configured
             */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `database_bad_response`: The database's answer could not be understood */
            502: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `database_unreachable`: The database cannot be reached
             *
             *     `auth_unreachable`: The keys to check access tokens cannot be read
             */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `database_timeout`: The database did not answer in time */
            504: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    pin_mcp_tools: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                toolboxId: string;
                instance: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["PinMcpToolsRequest"];
            };
        };
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["McpPinResponse"];
                };
            };
            /**
             * @description `invalid_json`: The request body is not valid JSON of the expected shape
             *
             *     `invalid_request`: The request is malformed
             */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `authentication_required`: Sign in and send the access token as a bearer token
             *
             *     `invalid_token`: The access token is not valid
             *
             *     `user_token_required`: An API key is not a user; send the user's access token
             */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `forbidden`: The caller may not do this
             *
             *     `anonymous_refused`: Anonymous users may not use this; sign in with an account
             */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `toolbox_not_found`: No such toolbox, or not yours
             *
             *     `instance_not_found`: No such tool instance, or not yours
             */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `body_too_slow`: The request body did not arrive in time */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `illegal_state`: The state of the instance does not allow this
             *
             *     `mcp_tools_changed`: The tools of the MCP server are others than those that were accepted
             */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `body_too_large`: The request body is too large */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `unsupported_media_type`: Send application/json */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `validation_failed`: The request breaks a rule */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `internal`: Internal error
             *
             *     `not_configured`: The function is not configured
             *
             *     `agent_pin_unsupported`: The runtime of this function cannot verify the agent's certificate; it needs Deno.createHttpClient with the options caCerts and proxy
             */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `agent_bad_response`: The agent's answer could not be understood
             *
             *     `agent_failed`: The agent failed
             *
             *     `agent_too_old`: The agent is too old; redeploy it
             *
             *     `agent_unauthorized`: The agent refused the toolbox's key
             *
             *     `agent_certificate_invalid`: What answers at the agent's address does not have the enrolled certificate; update the agent and enrol the toolbox again
             *
             *     `docker_failed`: Docker on the machine reported a failure
             *
             *     `database_bad_response`: The database's answer could not be understood
             */
            502: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `agent_unreachable`: The agent cannot be reached
             *
             *     `toolbox_not_ready`: The toolbox has no address yet
             *
             *     `agent_not_enrolled`: The agent has not enrolled its certificate yet
             *
             *     `mcp_tools_unknown`: The MCP server does not tell its tools now
             *
             *     `docker_unreachable`: Docker on the machine does not answer
             *
             *     `database_unreachable`: The database cannot be reached
             *
             *     `auth_unreachable`: The keys to check access tokens cannot be read
             */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `agent_timeout`: The agent did not answer in time
             *
             *     `docker_timeout`: Docker on the machine did not answer in time
             *
             *     `database_timeout`: The database did not answer in time
             */
            504: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    unpin_mcp_tools: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                toolboxId: string;
                instance: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["McpPinResponse"];
                };
            };
            /** @description `invalid_request`: The request is malformed */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `authentication_required`: Sign in and send the access token as a bearer token
             *
             *     `invalid_token`: The access token is not valid
             *
             *     `user_token_required`: An API key is not a user; send the user's access token
             */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `forbidden`: The caller may not do this
             *
             *     `anonymous_refused`: Anonymous users may not use this; sign in with an account
             */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `toolbox_not_found`: No such toolbox, or not yours
             *
             *     `instance_not_found`: No such tool instance, or not yours
             */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `internal`: Internal error
             *
             *     `not_configured`: The function is not configured
             */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `delete_failed`: The instance could not be deleted
             *
             *     `database_bad_response`: The database's answer could not be understood
             */
            502: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `database_unreachable`: The database cannot be reached
             *
             *     `auth_unreachable`: The keys to check access tokens cannot be read
             */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `database_timeout`: The database did not answer in time */
            504: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    mcp_usage: {
        parameters: {
            query?: {
                /** @description The last so many days, 30 unless given, 366 at most */
                days?: number;
            };
            header?: never;
            path: {
                toolboxId: string;
                instance: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["McpUsageResponse"];
                };
            };
            /** @description `invalid_request`: The request is malformed */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `authentication_required`: Sign in and send the access token as a bearer token
             *
             *     `invalid_token`: The access token is not valid
             *
             *     `user_token_required`: An API key is not a user; send the user's access token
             */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `forbidden`: The caller may not do this
             *
             *     `anonymous_refused`: Anonymous users may not use this; sign in with an account
             */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `toolbox_not_found`: No such toolbox, or not yours
             *
             *     `instance_not_found`: No such tool instance, or not yours
             */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `internal`: Internal error
             *
             *     `not_configured`: The function is not configured
             */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `database_bad_response`: The database's answer could not be understood */
            502: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `database_unreachable`: The database cannot be reached
             *
             *     `auth_unreachable`: The keys to check access tokens cannot be read
             */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `database_timeout`: The database did not answer in time */
            504: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    restart: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string | null;
                Prefer?: string | null;
            };
            path: {
                toolboxId: string;
                instance: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["MutationResponse"];
                };
            };
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["MutationResponse"];
                };
            };
            /** @description `invalid_request`: The request is malformed */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `authentication_required`: Sign in and send the access token as a bearer token
             *
             *     `invalid_token`: The access token is not valid
             *
             *     `user_token_required`: An API key is not a user; send the user's access token
             */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `forbidden`: The caller may not do this
             *
             *     `anonymous_refused`: Anonymous users may not use this; sign in with an account
             */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `toolbox_not_found`: No such toolbox, or not yours
             *
             *     `instance_not_found`: No such tool instance, or not yours
             */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `body_too_slow`: The request body did not arrive in time */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `operation_in_progress`: Another operation on this instance is in progress
             *
             *     `illegal_state`: The state of the instance does not allow this
             *
             *     `state_changed`: The state of the instance changed meanwhile; read it and try again
             *
             *     `toolbox_not_active`: The toolbox is not active
             */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `body_too_large`: The request body is too large */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `validation_failed`: The request breaks a rule
             *
             *     `idempotency_key_reused`: The idempotency key was used for a different request
             */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `internal`: Internal error
             *
             *     `not_configured`: The function is not configured
             *
             *     `agent_pin_unsupported`: The runtime of this function cannot verify the agent's certificate; it needs Deno.createHttpClient with the options caCerts and proxy
             */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `start_failed`: The instance could not be started
             *
             *     `agent_bad_response`: The agent's answer could not be understood
             *
             *     `agent_failed`: The agent failed
             *
             *     `agent_too_old`: The agent is too old; redeploy it
             *
             *     `agent_unauthorized`: The agent refused the toolbox's key
             *
             *     `agent_certificate_invalid`: What answers at the agent's address does not have the enrolled certificate; update the agent and enrol the toolbox again
             *
             *     `docker_failed`: Docker on the machine reported a failure
             *
             *     `agent_store_failed`: The agent could not store the desired state
             *
             *     `database_bad_response`: The database's answer could not be understood
             */
            502: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `agent_unreachable`: The agent cannot be reached
             *
             *     `toolbox_not_ready`: The toolbox has no address yet
             *
             *     `agent_not_enrolled`: The agent has not enrolled its certificate yet
             *
             *     `docker_unreachable`: Docker on the machine does not answer
             *
             *     `database_unreachable`: The database cannot be reached
             *
             *     `auth_unreachable`: The keys to check access tokens cannot be read
             */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `agent_timeout`: The agent did not answer in time
             *
             *     `docker_timeout`: Docker on the machine did not answer in time
             *
             *     `database_timeout`: The database did not answer in time
             */
            504: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    start: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string | null;
                Prefer?: string | null;
            };
            path: {
                toolboxId: string;
                instance: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["MutationResponse"];
                };
            };
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["MutationResponse"];
                };
            };
            /** @description `invalid_request`: The request is malformed */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `authentication_required`: Sign in and send the access token as a bearer token
             *
             *     `invalid_token`: The access token is not valid
             *
             *     `user_token_required`: An API key is not a user; send the user's access token
             */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `forbidden`: The caller may not do this
             *
             *     `anonymous_refused`: Anonymous users may not use this; sign in with an account
             */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `toolbox_not_found`: No such toolbox, or not yours
             *
             *     `instance_not_found`: No such tool instance, or not yours
             */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `body_too_slow`: The request body did not arrive in time */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `operation_in_progress`: Another operation on this instance is in progress
             *
             *     `illegal_state`: The state of the instance does not allow this
             *
             *     `state_changed`: The state of the instance changed meanwhile; read it and try again
             *
             *     `toolbox_not_active`: The toolbox is not active
             */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `body_too_large`: The request body is too large */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `validation_failed`: The request breaks a rule
             *
             *     `idempotency_key_reused`: The idempotency key was used for a different request
             */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `internal`: Internal error
             *
             *     `not_configured`: The function is not configured
             *
             *     `agent_pin_unsupported`: The runtime of this function cannot verify the agent's certificate; it needs Deno.createHttpClient with the options caCerts and proxy
             */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `start_failed`: The instance could not be started
             *
             *     `agent_bad_response`: The agent's answer could not be understood
             *
             *     `agent_failed`: The agent failed
             *
             *     `agent_too_old`: The agent is too old; redeploy it
             *
             *     `agent_unauthorized`: The agent refused the toolbox's key
             *
             *     `agent_certificate_invalid`: What answers at the agent's address does not have the enrolled certificate; update the agent and enrol the toolbox again
             *
             *     `docker_failed`: Docker on the machine reported a failure
             *
             *     `agent_store_failed`: The agent could not store the desired state
             *
             *     `database_bad_response`: The database's answer could not be understood
             */
            502: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `agent_unreachable`: The agent cannot be reached
             *
             *     `toolbox_not_ready`: The toolbox has no address yet
             *
             *     `agent_not_enrolled`: The agent has not enrolled its certificate yet
             *
             *     `docker_unreachable`: Docker on the machine does not answer
             *
             *     `database_unreachable`: The database cannot be reached
             *
             *     `auth_unreachable`: The keys to check access tokens cannot be read
             */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `agent_timeout`: The agent did not answer in time
             *
             *     `docker_timeout`: Docker on the machine did not answer in time
             *
             *     `database_timeout`: The database did not answer in time
             */
            504: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    stop: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string | null;
                Prefer?: string | null;
            };
            path: {
                toolboxId: string;
                instance: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["MutationResponse"];
                };
            };
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["MutationResponse"];
                };
            };
            /** @description `invalid_request`: The request is malformed */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `authentication_required`: Sign in and send the access token as a bearer token
             *
             *     `invalid_token`: The access token is not valid
             *
             *     `user_token_required`: An API key is not a user; send the user's access token
             */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `forbidden`: The caller may not do this
             *
             *     `anonymous_refused`: Anonymous users may not use this; sign in with an account
             */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `toolbox_not_found`: No such toolbox, or not yours
             *
             *     `instance_not_found`: No such tool instance, or not yours
             */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `body_too_slow`: The request body did not arrive in time */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `operation_in_progress`: Another operation on this instance is in progress
             *
             *     `illegal_state`: The state of the instance does not allow this
             *
             *     `state_changed`: The state of the instance changed meanwhile; read it and try again
             *
             *     `toolbox_not_active`: The toolbox is not active
             */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `body_too_large`: The request body is too large */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `validation_failed`: The request breaks a rule
             *
             *     `idempotency_key_reused`: The idempotency key was used for a different request
             */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `internal`: Internal error
             *
             *     `not_configured`: The function is not configured
             *
             *     `agent_pin_unsupported`: The runtime of this function cannot verify the agent's certificate; it needs Deno.createHttpClient with the options caCerts and proxy
             */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `stop_failed`: The instance could not be stopped
             *
             *     `agent_bad_response`: The agent's answer could not be understood
             *
             *     `agent_failed`: The agent failed
             *
             *     `agent_too_old`: The agent is too old; redeploy it
             *
             *     `agent_unauthorized`: The agent refused the toolbox's key
             *
             *     `agent_certificate_invalid`: What answers at the agent's address does not have the enrolled certificate; update the agent and enrol the toolbox again
             *
             *     `docker_failed`: Docker on the machine reported a failure
             *
             *     `agent_store_failed`: The agent could not store the desired state
             *
             *     `database_bad_response`: The database's answer could not be understood
             */
            502: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `agent_unreachable`: The agent cannot be reached
             *
             *     `toolbox_not_ready`: The toolbox has no address yet
             *
             *     `agent_not_enrolled`: The agent has not enrolled its certificate yet
             *
             *     `docker_unreachable`: Docker on the machine does not answer
             *
             *     `database_unreachable`: The database cannot be reached
             *
             *     `auth_unreachable`: The keys to check access tokens cannot be read
             */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `agent_timeout`: The agent did not answer in time
             *
             *     `docker_timeout`: Docker on the machine did not answer in time
             *
             *     `database_timeout`: The database did not answer in time
             */
            504: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    versions: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                toolboxId: string;
                instance: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ToolVersionsResponse"];
                };
            };
            /** @description `invalid_request`: The request is malformed */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `authentication_required`: Sign in and send the access token as a bearer token
             *
             *     `invalid_token`: The access token is not valid
             *
             *     `user_token_required`: An API key is not a user; send the user's access token
             */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `forbidden`: The caller may not do this
             *
             *     `anonymous_refused`: Anonymous users may not use this; sign in with an account
             */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `toolbox_not_found`: No such toolbox, or not yours
             *
             *     `instance_not_found`: No such tool instance, or not yours
             */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `internal`: Internal error
             *
             *     `not_configured`: The function is not configured
             */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `database_bad_response`: The database's answer could not be understood */
            502: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `database_unreachable`: The database cannot be reached
             *
             *     `auth_unreachable`: The keys to check access tokens cannot be read
             */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `database_timeout`: The database did not answer in time */
            504: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
    roll_back: {
        parameters: {
            query?: never;
            header?: {
                "Idempotency-Key"?: string | null;
                Prefer?: string | null;
            };
            path: {
                toolboxId: string;
                instance: string;
                generation: number;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["MutationResponse"];
                };
            };
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["MutationResponse"];
                };
            };
            /** @description `invalid_request`: The request is malformed */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `authentication_required`: Sign in and send the access token as a bearer token
             *
             *     `invalid_token`: The access token is not valid
             *
             *     `user_token_required`: An API key is not a user; send the user's access token
             */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `forbidden`: The caller may not do this
             *
             *     `anonymous_refused`: Anonymous users may not use this; sign in with an account
             */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `toolbox_not_found`: No such toolbox, or not yours
             *
             *     `instance_not_found`: No such tool instance, or not yours
             *
             *     `version_not_kept`: This version of the tool is not kept; its list of versions says which are
             */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `body_too_slow`: The request body did not arrive in time */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `operation_in_progress`: Another operation on this instance is in progress
             *
             *     `illegal_state`: The state of the instance does not allow this
             *
             *     `state_changed`: The state of the instance changed meanwhile; read it and try again
             *
             *     `toolbox_not_active`: The toolbox is not active
             */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `body_too_large`: The request body is too large */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `validation_failed`: The request breaks a rule
             *
             *     `idempotency_key_reused`: The idempotency key was used for a different request
             */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `internal`: Internal error
             *
             *     `not_configured`: The function is not configured
             *
             *     `agent_pin_unsupported`: The runtime of this function cannot verify the agent's certificate; it needs Deno.createHttpClient with the options caCerts and proxy
             */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `update_failed`: The instance could not be updated
             *
             *     `agent_bad_response`: The agent's answer could not be understood
             *
             *     `agent_failed`: The agent failed
             *
             *     `agent_too_old`: The agent is too old; redeploy it
             *
             *     `agent_unauthorized`: The agent refused the toolbox's key
             *
             *     `agent_certificate_invalid`: What answers at the agent's address does not have the enrolled certificate; update the agent and enrol the toolbox again
             *
             *     `docker_failed`: Docker on the machine reported a failure
             *
             *     `agent_store_failed`: The agent could not store the desired state
             *
             *     `database_bad_response`: The database's answer could not be understood
             */
            502: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `agent_unreachable`: The agent cannot be reached
             *
             *     `toolbox_not_ready`: The toolbox has no address yet
             *
             *     `agent_not_enrolled`: The agent has not enrolled its certificate yet
             *
             *     `docker_unreachable`: Docker on the machine does not answer
             *
             *     `database_unreachable`: The database cannot be reached
             *
             *     `auth_unreachable`: The keys to check access tokens cannot be read
             */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /**
             * @description `agent_timeout`: The agent did not answer in time
             *
             *     `docker_timeout`: Docker on the machine did not answer in time
             *
             *     `database_timeout`: The database did not answer in time
             */
            504: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
        };
    };
}
