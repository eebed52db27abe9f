// Written by scripts/gen-api.mjs from docs/api/operators.openapi.json. Do not edit.

export interface paths {
    "/agent-version": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        /** Says which version agents should have. */
        put: operations["set_agent_version"];
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/catalog": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Every entry of the catalog, also those that users do not see. */
        get: operations["catalog"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/catalog/{catalogId}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        /** Makes an entry under an id that the caller draws, or writes all of it anew. What was deployed from it stays as it is. */
        put: operations["put_entry"];
        post?: never;
        /** Removes an entry from which nothing was deployed. Another one is archived instead. */
        delete: operations["delete_entry"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/fleet": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The toolboxes of all users, 50 at once, and the last rollouts of the fleet. */
        get: operations["fleet"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/quotas": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Users, 50 at once, each with what was set for them and what they have. */
        get: operations["quotas"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/quotas/{userId}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        /** Says how much one user may have. What they have already stays. */
        put: operations["set_quota"];
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/rollouts": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Replaces the agents of toolboxes of all users in waves; the first failure stops it, and a machine that is silent when it is
         *     its turn is not asked. Without `toolboxIds` those that report and have another version, 500 at once.
         */
        post: operations["begin_rollout"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/rollouts/{rolloutId}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** A rollout of the fleet with all its toolboxes. */
        get: operations["rollout"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/rollouts/{rolloutId}/stop": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Lets a rollout of the fleet ask no further toolbox, whichever operator began it. */
        post: operations["stop_rollout"];
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
        /** @description Body of `PUT /agent-version`. */
        AgentVersionRequest: {
            /** @description The version that agents should have; null: none is wanted. */
            version?: string | null;
        };
        /** @description An entry of the catalog as operators write it. All of it is written: what is absent gets its default. */
        CatalogEntryRequest: {
            /** @description Group in the console. */
            category?: string;
            /** @description What runs; without an image each deployment names one. A variable with a value is everybody's, so none is a secret. */
            default_spec: components["schemas"]["ToolSpec"];
            /** @description One or two sentences for the user. */
            description?: string;
            /** @description Where the publisher documents the tool, `https://`. */
            documentation_url?: string | null;
            /** @description Square icon, `https://`. */
            icon_url?: string | null;
            /** @description False hides it from users. */
            is_public?: boolean;
            /** @description Display name, unique. */
            name: string;
            /** @description Where the image comes from. */
            packaging_type?: components["schemas"]["Packaging"];
            /** @description Who publishes the image. */
            provider?: string | null;
            /** @description JSON Schema of the variables that users set. */
            required_config_schema?: Record<string, never>;
            /** @description JSON Schema of the variables that are secrets. */
            required_secrets_schema?: Record<string, never>;
            /** @description Whether it is offered, and as what. */
            status?: components["schemas"]["CatalogStatus"];
            /** @description Machine name: lower-case words joined by a hyphen. */
            tool_name: string;
            /** @description `updated_at` of the entry as it was read: one that was changed since is left as it is (`state_changed`). */
            updated_at?: string | null;
            /** @description Version of this entry, not of the image. */
            version?: string;
        };
        /**
         * @description Whether an entry is offered, and as what.
         * @enum {string}
         */
        CatalogStatus: "available" | "beta" | "experimental" | "deprecated" | "archived";
        /** @description How far a container is confined beyond the fixed rules. */
        Confinement: {
            /**
             * @description Capabilities given back after all were dropped, such as `NET_BIND_SERVICE`.
             * @default []
             */
            add_capabilities?: string[];
            /**
             * @description Mount the container's root read-only.
             * @default false
             */
            read_only_root?: boolean;
            /**
             * @description Absolute paths mounted as tmpfs.
             * @default []
             */
            tmpfs?: string[];
            /**
             * @description User that it runs as instead of the image's: `uid` or `uid:gid`, in numbers.
             * @default null
             */
            user?: string | null;
        };
        /** @description Answer about a rollout. */
        ConsoleRollout: {
            /** @description The request. */
            request_id: string;
            /** @description The rollout. */
            rollout: components["schemas"]["Rollout"];
            /** @description Always true. */
            success: boolean;
            /** @description When. */
            timestamp: string;
        };
        /** @description Body of `POST /rollouts`; may be left out. */
        ConsoleRolloutRequest: {
            /**
             * @description Which, in this order; all that have a machine, the oldest first, when absent.
             * @default null
             */
            toolboxIds?: string[] | null;
            /**
             * @description Version to run; the one that the operator wants when absent.
             * @default null
             */
            version?: string | null;
            /**
             * Format: int32
             * @description So many toolboxes at a time, 1 to 10; 1 when absent.
             * @default null
             */
            waveSize?: number | null;
        };
        /**
         * @description What Docker says of the health check that an image brings (`HEALTHCHECK`).
         * @enum {string}
         */
        ContainerHealth: "starting" | "healthy" | "unhealthy";
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
        /** @description The toolboxes of all users, a page of them. */
        Fleet: {
            /** @description Of the whole fleet. */
            counts: components["schemas"]["FleetCounts"];
            /**
             * Format: int32
             * @description So many toolboxes are as asked for.
             */
            found: number;
            /**
             * @description The last rollouts of the fleet, the newest first. Of their toolboxes those that are under way or failed, 20 of each
             *     rollout at most; `GET /rollouts/{rolloutId}` tells all.
             */
            rollouts: components["schemas"]["FleetRollout"][];
            /** @description A page of them; those that need a look come first. */
            toolboxes: components["schemas"]["FleetToolbox"][];
            /** @description The version that agents should have; null: none is wanted. */
            wanted_version?: string | null;
        };
        /** @description How many toolboxes of the fleet are how. One may be old, silent and failing at once. */
        FleetCounts: {
            /**
             * Format: int32
             * @description All.
             */
            all: number;
            /**
             * Format: int32
             * @description They are in an error, or a tool of theirs is.
             */
            failing: number;
            /**
             * Format: int32
             * @description Their agent is older than the wanted version.
             */
            old: number;
            /**
             * Format: int32
             * @description A rollout to the wanted version would ask them: they report, and have another version.
             */
            ready: number;
            /**
             * Format: int32
             * @description Their agent did not report for three of its intervals.
             */
            silent: number;
        };
        /** @description A rollout of the fleet as operators see it. */
        FleetRollout: components["schemas"]["Rollout"] & {
            /** @description How far all its toolboxes are. */
            counts: components["schemas"]["RolloutCounts"];
            /** @description The address that they sign in with; null when their account is gone. */
            operator_email?: string | null;
            /**
             * Format: uuid
             * @description Who asked for it. They may be gone since.
             */
            operator_id: string;
        };
        /** @description A toolbox as operators see it. */
        FleetToolbox: {
            /**
             * Format: int32
             * @description How many of them are in an error.
             */
            failing_tools: number;
            /**
             * Format: uuid
             * @description Its id.
             */
            id: string;
            /** @description It is in an error, or a tool of it is. */
            is_failing: boolean;
            /** @description Its agent is older than the wanted version. */
            is_old: boolean;
            /** @description Its agent did not report for three of its intervals. */
            is_silent: boolean;
            /** @description Where its machine comes from. */
            kind: components["schemas"]["ToolboxKind"];
            /** @description When its agent last reported, RFC 3339. */
            last_heartbeat_at?: string | null;
            /** @description What its owner calls it. */
            name: string;
            /** @description The address that they sign in with. */
            owner_email?: string | null;
            /**
             * Format: uuid
             * @description Its owner; null when they are gone, and their machine is not yet.
             */
            owner_id?: string | null;
            /**
             * Format: double
             * @description What a bought machine costs a month at most, in US dollars.
             */
            price_monthly_usd?: number | null;
            /** @description What went wrong with the machine last, in words. */
            problem?: string | null;
            /** @description Region of a bought machine. */
            region_slug?: string | null;
            /** @description Size of a bought machine. */
            size_slug?: string | null;
            /** @description Its status. */
            status: string;
            /** @description Since when, RFC 3339. */
            status_changed_at: string;
            /**
             * Format: int32
             * @description How many tools it has.
             */
            tools: number;
            /** @description Its agent's version. */
            version?: string | null;
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
        /**
         * @description How an MCP server is.
         * @enum {string}
         */
        McpState: "starting" | "healthy" | "degraded" | "unhealthy" | "unreachable" | "not-mcp" | "idle";
        /**
         * @description How an MCP server is spoken to.
         * @enum {string}
         */
        McpTransport: "stdio" | "streamable-http" | "sse" | "websocket";
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
        /** @description Every entry of the catalog, archived ones last. */
        OperatorCatalog: {
            /** @description The entries. */
            entries: components["schemas"]["OperatorCatalogEntry"][];
        };
        /** @description An entry of the catalog as operators see it. */
        OperatorCatalogEntry: {
            /** @description Group in the console. */
            category: string;
            /** @description What runs. */
            default_spec: Record<string, never>;
            /** @description One or two sentences for the user. */
            description: string;
            /** @description Where the publisher documents the tool. */
            documentation_url?: string | null;
            /** @description Square icon. */
            icon_url?: string | null;
            /**
             * Format: uuid
             * @description Its id.
             */
            id: string;
            /** @description False hides it from users. */
            is_public: boolean;
            /** @description Display name. */
            name: string;
            /** @description Where the image comes from. */
            packaging_type: components["schemas"]["Packaging"];
            /** @description Who publishes the image. */
            provider?: string | null;
            /** @description JSON Schema of the variables that users set. */
            required_config_schema: Record<string, never>;
            /** @description JSON Schema of the variables that are secrets. */
            required_secrets_schema: Record<string, never>;
            /** @description Whether it is offered, and as what. */
            status: components["schemas"]["CatalogStatus"];
            /** @description Machine name. */
            tool_name: string;
            /**
             * Format: int32
             * @description So many tools were deployed from it. While there is one, it can be archived and not removed.
             */
            tools: number;
            /** @description When it last changed, RFC 3339. */
            updated_at: string;
            /** @description Version of this entry. */
            version: string;
        };
        /** @description What was set for one user. Null: as everybody. */
        OwnQuota: {
            /**
             * Format: int32
             * @description All bought machines may cost so many US dollars a month.
             */
            monthly_usd?: number | null;
            /**
             * Format: int32
             * @description So many toolboxes.
             */
            toolboxes?: number | null;
            /**
             * Format: int32
             * @description So many tools in one toolbox.
             */
            tools?: number | null;
        };
        /**
         * @description Where the image of an entry comes from.
         * @enum {string}
         */
        Packaging: "docker_image" | "git_source";
        /**
         * @description Where an instance is, as Docker shows it.
         * @enum {string}
         */
        Phase: "pending" | "pulling" | "building" | "creating" | "starting" | "running" | "stopping" | "stopped" | "removing" | "error";
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
        /** @description A port the container listens on, as asked for. */
        PortSpec: {
            /**
             * Format: int32
             * @description Port inside the container, 1 to 65535.
             */
            container_port: number;
            /** @description Address on the machine; `127.0.0.1` when absent. */
            host_ip?: string | null;
            /**
             * Format: int32
             * @description Port on the machine; the agent allocates one when absent.
             */
            host_port?: number | null;
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
        /** @description How much a user may have. */
        QuotaLimits: {
            /**
             * Format: int32
             * @description All bought machines may cost so many US dollars a month.
             */
            monthly_usd: number;
            /**
             * Format: int32
             * @description So many toolboxes.
             */
            toolboxes: number;
            /**
             * Format: int32
             * @description So many tools in one toolbox.
             */
            tools: number;
        };
        /** @description What a user has of it. */
        QuotaUsed: {
            /**
             * Format: double
             * @description All bought machines cost so many US dollars a month at most.
             */
            monthly_usd: number;
            /**
             * Format: int32
             * @description So many toolboxes.
             */
            toolboxes: number;
        };
        /** @description Why something is not as desired. */
        Reason: {
            /** @description Stable code, such as `image_not_found`. */
            code: string;
            /** @description A sentence for the user; never a secret. */
            message: string;
        };
        /** @description Limits of a container. */
        Resources: {
            /**
             * Format: double
             * @description CPUs, such as 0.25.
             * @default null
             */
            cpus?: number | null;
            /**
             * Format: int64
             * @description Most bytes on the disk: what it writes outside its volumes, and its volumes, together.
             * @default null
             */
            disk_bytes?: number | null;
            /**
             * Format: int64
             * @description Memory limit in bytes; the default of the domain when absent.
             * @default null
             */
            memory_bytes?: number | null;
            /**
             * Format: int32
             * @description Most processes and threads.
             * @default null
             */
            pids?: number | null;
        };
        /** @description One rollout. */
        Rollout: {
            /** @description When it began. */
            created_at: string;
            /** @description When it was stopped or finished. */
            ended_at?: string | null;
            /**
             * Format: uuid
             * @description Its id.
             */
            id: string;
            reason?: components["schemas"]["RolloutReason"] | null;
            /** @description Whether it goes on. */
            state: components["schemas"]["RolloutState"];
            /** @description The toolboxes, in order. */
            toolboxes: components["schemas"]["RolloutToolbox"][];
            /** @description The version that the agents are replaced by. */
            version: string;
            /**
             * Format: int32
             * @description So many toolboxes at a time.
             */
            wave_size: number;
        };
        /** @description How many toolboxes of a rollout are how far. */
        RolloutCounts: {
            /**
             * Format: int32
             * @description Asked, and under way.
             */
            asked: number;
            /**
             * Format: int32
             * @description They were not replaced, or nobody knows in time.
             */
            failed: number;
            /**
             * Format: int32
             * @description They run the version.
             */
            healthy: number;
            /**
             * Format: int32
             * @description They are gone.
             */
            removed: number;
            /**
             * Format: int32
             * @description Their agents did not report, so they were not asked.
             */
            silent: number;
            /**
             * Format: int32
             * @description Not asked.
             */
            waiting: number;
        };
        /** @description Why a rollout was stopped. */
        RolloutReason: {
            /** @description A stable code. */
            code: string;
            /** @description What happened, and what to do. */
            message: string;
            /**
             * Format: uuid
             * @description The toolbox that failed; none where its user stopped it.
             */
            toolbox_id?: string | null;
        };
        /**
         * @description Whether a rollout goes on.
         * @enum {string}
         */
        RolloutState: "running" | "stopped" | "finished";
        /** @description A toolbox of a rollout. */
        RolloutToolbox: {
            /** @description When it took what was asked, or was asked first, as long as it is not known to have taken it. */
            asked_at?: string | null;
            /** @description What went wrong: a stable code. */
            code?: string | null;
            /** @description When its end was seen. */
            ended_at?: string | null;
            /**
             * Format: uuid
             * @description The toolbox.
             */
            id: string;
            /** @description When its machine was first asked how the change goes. */
            looked_at?: string | null;
            /** @description The same in words. */
            message?: string | null;
            /** @description Its name when the rollout began. */
            name: string;
            /** @description The machine's own id of the redeployment. */
            operation_id?: string | null;
            /** @description How far it is. */
            state: components["schemas"]["RolloutToolboxState"];
        };
        /**
         * @description How far a toolbox is.
         * @enum {string}
         */
        RolloutToolboxState: "waiting" | "asked" | "healthy" | "failed" | "silent" | "removed";
        /**
         * @description A value that may be a secret, with the key that encrypts it.
         *
         *     In the database it is encrypted ([`crate::sealing`]); to the agent and on its disk it goes in plain text, with `key_id`
         *     null. A reader that meets a key it does not have refuses the value (`secret_key_unknown`) and never takes the
         *     ciphertext for the value.
         */
        SecretValue: {
            /** @description The key `value` is encrypted with; null: it is plain text. */
            key_id?: string | null;
            /** @description The value, or its ciphertext. */
            value: string;
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
        /** @description What runs in an instance. */
        ToolSpec: {
            /**
             * @description Arguments instead of the image's.
             * @default null
             */
            command?: string[] | null;
            /**
             * @description Confinement.
             * @default {
             *       "add_capabilities": [],
             *       "read_only_root": false,
             *       "tmpfs": []
             *     }
             */
            confinement?: components["schemas"]["Confinement"];
            /**
             * @description Entry point instead of the image's.
             * @default null
             */
            entrypoint?: string[] | null;
            /**
             * @description Environment variables. Each value may be a secret, so each is in an envelope.
             * @default {}
             */
            env?: {
                [key: string]: components["schemas"]["SecretValue"];
            };
            /**
             * @description What it may reach of the machine itself, which is refused otherwise: `host:PORT`, with `/udp` for UDP. Ports of the
             *     agent, its companion, sshd and Docker are refused to every tool, and so are link-local addresses.
             * @default []
             */
            host_access?: string[];
            /**
             * Format: int32
             * @description The MCP server is stopped when nobody has used it for so many minutes, and the next call starts it. Never when absent.
             * @default null
             */
            idle_minutes?: number | null;
            /**
             * @description Image reference, or a Git source to build. A catalog entry may leave it to the user.
             * @default
             */
            image?: string;
            /**
             * Format: int32
             * @description How long a call of the MCP server may take without a sign of progress, in seconds; the bridge's default when absent.
             * @default null
             */
            mcp_call_timeout_seconds?: number | null;
            /**
             * @description Headers of every request to an MCP server that speaks HTTP, such as its own key. Each value may be a secret, so each
             *     is in an envelope. They reach nobody but the server.
             * @default {}
             */
            mcp_headers?: {
                [key: string]: components["schemas"]["SecretValue"];
            };
            /**
             * @description Path of the MCP endpoint, such as `/mcp`.
             * @default null
             */
            mcp_path?: string | null;
            /**
             * Format: int32
             * @description How long the MCP server may take to start, in seconds; the bridge's default when absent.
             * @default null
             */
            mcp_start_timeout_seconds?: number | null;
            /**
             * @description The MCP server speaks the stateless revision, and is asked for that first. Others are asked first for a session,
             *     because servers that know only sessions may end when anything else comes first. Only for the transport `stdio`.
             * @default false
             */
            mcp_stateless?: boolean;
            /**
             * @description Networks that it shares with the tools of the same toolbox that name them too. Nothing else reaches it, but through
             *     its published ports.
             * @default []
             */
            networks?: string[];
            /**
             * @description Ports to publish.
             * @default []
             */
            ports?: components["schemas"]["PortSpec"][];
            /**
             * @description Limits.
             * @default {}
             */
            resources?: components["schemas"]["Resources"];
            /**
             * @description Keep standard input open; always so for the transport `stdio`.
             * @default false
             */
            stdin_open?: boolean;
            /** @default null */
            transport?: components["schemas"]["McpTransport"] | null;
            /**
             * @description Volumes that live as long as the instance.
             * @default []
             */
            volumes?: components["schemas"]["VolumeSpec"][];
        };
        /**
         * @description Where a toolbox's machine comes from.
         * @enum {string}
         */
        ToolboxKind: "byo" | "droplet";
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
        /** @description A user, and how much they may have. */
        UserQuota: {
            /** @description The address that they sign in with. */
            email?: string | null;
            /**
             * Format: uuid
             * @description Their id.
             */
            id: string;
            /** @description What was set for them. */
            quota: components["schemas"]["OwnQuota"];
            /** @description What they have. */
            used: components["schemas"]["QuotaUsed"];
        };
        /** @description Users, and how much each may have. */
        UserQuotas: {
            /** @description What everybody may have for whom nothing else was set. */
            everybody: components["schemas"]["QuotaLimits"];
            /**
             * Format: int32
             * @description So many users are as asked for.
             */
            found: number;
            /** @description A page of them; those with a quota of their own come first. */
            users: components["schemas"]["UserQuota"][];
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
    set_agent_version: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["AgentVersionRequest"];
            };
        };
        responses: {
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
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
    catalog: {
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
                    "application/json": components["schemas"]["OperatorCatalog"];
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
    put_entry: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                catalogId: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["CatalogEntryRequest"];
            };
        };
        responses: {
            /** @description It is new */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description It is changed */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
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
             * @description `name_taken`: Another instance of this toolbox has this name
             *
             *     `state_changed`: The state of the instance changed meanwhile; read it and try again
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
    delete_entry: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                catalogId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description It is gone */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
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
            /** @description `catalog_tool_not_found`: No such entry in the tool catalog */
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
    fleet: {
        parameters: {
            query?: {
                /** @description `all` (also when absent), `old`, `silent` or `failing` */
                show?: string;
                /** @description part of the owner's address or id, or of the toolbox's name or id */
                search?: string;
                /** @description how many to leave out */
                offset?: number;
            };
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
                    "application/json": components["schemas"]["Fleet"];
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
    quotas: {
        parameters: {
            query?: {
                /** @description part of the user's address or id */
                search?: string;
                /** @description how many to leave out */
                offset?: number;
            };
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
                    "application/json": components["schemas"]["UserQuotas"];
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
    set_quota: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                userId: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["OwnQuota"];
            };
        };
        responses: {
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
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
    begin_rollout: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ConsoleRolloutRequest"];
            };
        };
        responses: {
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ConsoleRollout"];
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
            /** @description `toolbox_not_found`: No such toolbox, or not yours */
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
            /** @description `rollout_in_progress`: A rollout of yours runs already, or toolboxes that it asked are under way; wait for their end */
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
    rollout: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                rolloutId: string;
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
                    "application/json": components["schemas"]["FleetRollout"];
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
            /** @description `rollout_not_found`: No such rollout, or not yours */
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
    stop_rollout: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                rolloutId: string;
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
                    "application/json": components["schemas"]["ConsoleRollout"];
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
            /** @description `rollout_not_found`: No such rollout, or not yours */
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
}
