// Written by scripts/gen-api.mjs from docs/api/toolbox-dtma-console.openapi.json. Do not edit.

export interface paths {
    "/": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        /** The same for actions that change nothing. */
        put: operations["invoke_by_put"];
        /** Any action, as `supabase.functions.invoke` sends it. Answers as the action's own route does. */
        post: operations["invoke"];
        /** The same for actions that change nothing. */
        delete: operations["invoke_by_delete"];
        options?: never;
        head?: never;
        /** The same for actions that change nothing. */
        patch: operations["invoke_by_patch"];
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
        /** Replaces the agents of many toolboxes in waves. It begins with the next tick; the next wave begins when every toolbox of the one before is healthy; a machine that is silent when it is its turn is not asked, and the first failure stops it. */
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
        /** How a rollout goes. */
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
        /** Lets a rollout ask no further toolbox; those that were asked go on. One that has ended stays as it is. */
        post: operations["stop_rollout"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/{toolboxId}/diagnose": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What is wrong, from the control plane to the machine and on it: each check with a verdict, evidence and the one thing to do. */
        get: operations["diagnose"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/{toolboxId}/logs": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The end of the agent's own log; with `follow=true` a stream of lines. */
        get: operations["logs"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/{toolboxId}/operation": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** How the last redeployment or rollback goes. */
        get: operations["operation"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/{toolboxId}/redeploy": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Replaces the agent by another version; the one before comes back by itself when the new one is not healthy. */
        post: operations["redeploy"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/{toolboxId}/restart": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Ends the agent, which is started again. Containers go on running. */
        post: operations["restart"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/{toolboxId}/rollback": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Replaces the agent by the version before. */
        post: operations["rollback"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/{toolboxId}/status": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** How the machine and its agent are: health, versions, metrics of the last hour, certificate, last heartbeat, and each part with its response time. */
        get: operations["status"];
        put?: never;
        post?: never;
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
         * @description How the agent is.
         * @enum {string}
         */
        AgentCondition: "healthy" | "degraded" | "down";
        /** @description What the agent is configured with, never the values. */
        AgentEnvironment: {
            /** @description An address for heartbeats is set. */
            hasApiBaseUrl: boolean;
            /** @description The same, under the predecessor's second name. */
            hasApiKey: boolean;
            /** @description A key for the control plane's calls is set. */
            hasAuthToken: boolean;
            /**
             * Format: int32
             * @description Port the agent listens on.
             */
            port: number;
        };
        /**
         * @description Whether the agent is well.
         * @enum {string}
         */
        AgentHealth: "healthy" | "degraded";
        /** @description The agent. What the companion cannot know while the agent is down is absent. */
        AgentState: {
            /**
             * Format: int32
             * @description Version of its API.
             */
            api_version?: number | null;
            /** @description How it is. */
            health: components["schemas"]["AgentCondition"];
            /** @description The version that a rollback goes back to. */
            previous_version?: string | null;
            /**
             * Format: int64
             * @description Seconds since it started.
             */
            uptime_seconds?: number | null;
            /** @description Version of its program: of the one that runs, else of the one that is installed. */
            version?: string | null;
        };
        /** @description A way that was tried and did not work. */
        Attempt: {
            /** @description Why it did not work: a stable code. */
            code: string;
            /** @description The same in words. */
            message: string;
            /**
             * Format: int64
             * @description How long it took, in milliseconds.
             */
            ms: number;
            /** @description The way. */
            way: components["schemas"]["Way"];
        };
        /** @description The TLS certificate. */
        CertificateState: {
            /** @description When it ends. Absent when it never does, as those that the agent makes. */
            not_after?: string | null;
            /** @description SHA-256 of its DER form, 64 hexadecimal digits. */
            sha256: string;
        };
        /** @description One check and what it found. */
        Check: {
            /** @description The one thing to do about it, where there is something to do. */
            action?: string | null;
            /** @description What the verdict rests on, in words. */
            evidence: string;
            /** @description Stable name, such as `disk`. */
            name: string;
            /** @description What it found. */
            verdict: components["schemas"]["Verdict"];
        };
        /** @description The companion. */
        CompanionState: {
            /** @description It answers. */
            reachable: boolean;
            /** @description Version of its program. */
            version?: string | null;
        };
        /**
         * @description Whether the machine was reached.
         * @enum {string}
         */
        ConnectionStatus: "connected" | "failed";
        /**
         * @description What can be asked of a machine.
         * @enum {string}
         */
        ConsoleAction: "status" | "restart" | "redeploy" | "rollback" | "operation" | "logs" | "diagnose";
        /** @description Answer to `restart`, `redeploy`, `rollback` and `operation`. */
        ConsoleChange: {
            /** @description The action. */
            action: components["schemas"]["ConsoleAction"];
            /** @description What failed before. */
            attempts: components["schemas"]["Attempt"][];
            /** @description What the machine answered. */
            details: unknown;
            error?: components["schemas"]["ErrorBody"] | null;
            /** @description What was seen, in words. */
            message: string;
            method?: components["schemas"]["Way"] | null;
            operation?: components["schemas"]["VersionChange"] | null;
            /** @description The request. */
            request_id: string;
            /** @description It was accepted (202), or its end was seen (200). */
            success: boolean;
            /** @description When. */
            timestamp: string;
        };
        /** @description Answer to `diagnose`. */
        ConsoleDiagnosis: {
            /** @description What failed before. */
            attempts: components["schemas"]["Attempt"][];
            /** @description From the control plane to the machine, then the machine's own. The first that failed is the first to mend. */
            checks: components["schemas"]["Check"][];
            method?: components["schemas"]["Way"] | null;
            /** @description The request. */
            request_id: string;
            /** @description The checks were made. What they found is in them. */
            success: boolean;
            /** @description When. */
            timestamp: string;
            /** @description The worst verdict of a check. */
            verdict: components["schemas"]["Verdict"];
        };
        /** @description Answer to `logs`. */
        ConsoleLogs: {
            /** @description What failed before. */
            attempts: components["schemas"]["Attempt"][];
            /** @description Lines of the agent's log, the oldest first. */
            logs: string[];
            /** @description By which way. */
            method: components["schemas"]["Way"];
            /** @description The request. */
            request_id: string;
            /** @description Always true. */
            success: boolean;
            /** @description When. */
            timestamp: string;
        };
        /** @description Body of `POST /{toolboxId}/redeploy`; may be left out. */
        ConsoleRedeployRequest: {
            /**
             * @description Version to run; the one that the operator wants when absent.
             * @default null
             */
            version?: string | null;
        };
        /** @description One body with an `action`, as `supabase.functions.invoke` sends it. */
        ConsoleRequest: {
            /** @description One of [`ConsoleAction`]; kept as text so that an unknown one gets its own code. */
            action?: components["schemas"]["ConsoleAction"];
            /** @description Keep streaming, for `logs`. */
            follow?: boolean | null;
            tail?: components["schemas"]["NumberOrText"] | null;
            /**
             * Format: uuid
             * @description The toolbox.
             */
            toolboxId?: string;
            /** @description Version to run, for `redeploy`; the one that the operator wants when absent. */
            version?: string | null;
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
        /** @description Answer to `status`. */
        ConsoleStatus: {
            /** @description What failed before. */
            attempts: components["schemas"]["Attempt"][];
            /** @description Whether the machine was reached. */
            connection_status: components["schemas"]["ConnectionStatus"];
            dtma_status?: components["schemas"]["Status"] | null;
            error?: components["schemas"]["ErrorBody"] | null;
            /** @description When this was seen. */
            last_checked: string;
            /** @description What was last heard without asking. */
            last_heartbeat: components["schemas"]["LastHeartbeat"];
            machine?: components["schemas"]["MachineStatus"] | null;
            method?: components["schemas"]["Way"] | null;
            /** @description The request. */
            request_id: string;
            /** @description Each part, with its response time. */
            services: components["schemas"]["ServiceCheck"][];
            /** @description The machine was reached. */
            success: boolean;
            system_metrics?: components["schemas"]["SystemMetrics"] | null;
            /**
             * Format: uuid
             * @description The toolbox.
             */
            toolbox_id: string;
        };
        /**
         * @description What Docker says of the health check that an image brings (`HEALTHCHECK`).
         * @enum {string}
         */
        ContainerHealth: "starting" | "healthy" | "unhealthy";
        /**
         * @description What the user asked an instance to be.
         * @enum {string}
         */
        Desired: "running" | "stopped" | "absent";
        /** @description A disk of the machine, in bytes. */
        DiskMetrics: {
            /**
             * Format: int64
             * @description Free for the agent.
             */
            free_bytes: number;
            /** @description Where it is mounted. */
            mount: string;
            /**
             * Format: int64
             * @description In all.
             */
            total_bytes: number;
            /**
             * Format: int64
             * @description In use.
             */
            used_bytes: number;
        };
        /** @description Docker Engine as the agent sees it. */
        DockerInfo: {
            /** @description API version in use. */
            api_version?: string | null;
            /** @description Docker answered. */
            reachable: boolean;
            /** @description Engine version. */
            version?: string | null;
        };
        /** @description Docker Engine. */
        DockerState: {
            /** @description It answers. */
            reachable: boolean;
            /** @description Its version. */
            version?: string | null;
        };
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
        /**
         * @description What is known of the rules that keep containers away from the machine.
         * @enum {string}
         */
        FirewallState: "verified" | "unverified" | "ineffective" | "unavailable";
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
        /** @description Whether containers are kept away from the machine itself. */
        HostFirewall: {
            /** @description Why it is not `verified`. */
            detail?: string | null;
            /** @description Since when, RFC 3339. */
            since: string;
            /** @description What is known of it. */
            state: components["schemas"]["FirewallState"];
        };
        /** @description The machine at one moment. */
        HostSample: {
            /** @description When. */
            at: string;
            /**
             * Format: double
             * @description CPU in use over the minute before, 0 to 100.
             */
            cpu_load_percent: number;
            /**
             * Format: int64
             * @description What is free of it for the agent, in bytes.
             */
            disk_free_bytes?: number | null;
            /**
             * Format: int64
             * @description The disk that holds the agent's state, in all, in bytes.
             */
            disk_total_bytes?: number | null;
            /**
             * Format: double
             * @description Load average of one minute. Absent where it cannot be read.
             */
            load_average?: number | null;
            /**
             * Format: int64
             * @description Memory in all, in bytes.
             */
            memory_total_bytes: number;
            /**
             * Format: int64
             * @description Memory in use, in bytes.
             */
            memory_used_bytes: number;
        };
        /** @description Metrics of the machine, now and over the last hour. */
        HostState: {
            /** @description Now. */
            now: components["schemas"]["SystemMetrics"];
            /** @description One a minute, the oldest first, at most 60. They are kept in memory: a program that has just started has few. */
            samples?: components["schemas"]["HostSample"][];
        };
        /** @description What the control plane last heard of a machine without asking. */
        LastHeartbeat: {
            /**
             * Format: int64
             * @description How long ago, in seconds.
             */
            age_seconds?: number | null;
            /** @description When. None where there was none. */
            at?: string | null;
            /** @description Status of the toolbox, such as `active` or `unresponsive`. */
            toolbox_status: string;
            /** @description Version that the agent told. */
            version?: string | null;
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
        /** @description Answer of `GET /v1/machine/status`. */
        MachineStatus: {
            /** @description The agent. */
            agent: components["schemas"]["AgentState"];
            certificate?: components["schemas"]["CertificateState"] | null;
            companion?: components["schemas"]["CompanionState"] | null;
            /** @description Docker Engine. */
            docker: components["schemas"]["DockerState"];
            /** @description The machine. */
            host: components["schemas"]["HostState"];
            /** @description Who answers. */
            served_by: components["schemas"]["ServedBy"];
            /** @description Now, by the machine's clock. */
            timestamp: string;
            /**
             * Format: uuid
             * @description The toolbox this machine serves.
             */
            toolbox_id: string;
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
        /** @description Memory of the machine, in bytes. */
        MemoryMetrics: {
            /**
             * Format: int64
             * @description Used and not reclaimable at once.
             */
            active_bytes: number;
            /**
             * Format: int64
             * @description Not used at all.
             */
            free_bytes: number;
            /**
             * Format: int64
             * @description In all.
             */
            total_bytes: number;
            /**
             * Format: int64
             * @description Total less available.
             */
            used_bytes: number;
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
         * @description Which program answered.
         * @enum {string}
         */
        ServedBy: "agent" | "companion";
        /** @description One part that the machine's users depend on. */
        ServiceCheck: {
            /** @description When it was checked. */
            checked_at: string;
            /** @description What the verdict rests on. */
            evidence: string;
            /** @description `agent`, `companion`, `ssh` or `database`. */
            name: string;
            /**
             * Format: int64
             * @description How long it took to answer, in milliseconds. None where it was not asked, or did not answer.
             */
            response_time_ms?: number | null;
            /** @description How it is. */
            verdict: components["schemas"]["Verdict"];
        };
        /**
         * @description Where the state in a view comes from.
         * @enum {string}
         */
        StateSource: "live" | "last_known";
        /** @description Answer of `GET /status`. */
        Status: {
            /**
             * Format: int32
             * @description Version of this API.
             */
            api_version: number;
            /** @description Docker Engine. */
            docker: components["schemas"]["DockerInfo"];
            /** @description What is configured; field names of the predecessor. */
            environment: components["schemas"]["AgentEnvironment"];
            /** @description Always `DTMA`. */
            service: string;
            /** @description Whether the agent is well. */
            status: components["schemas"]["AgentHealth"];
            /** @description Host metrics. */
            system_metrics: components["schemas"]["SystemMetrics"];
            /** @description Now, RFC 3339. */
            timestamp: string;
            /** @description Every instance the agent holds. */
            tool_instances: components["schemas"]["ToolView"][];
            /**
             * Format: uuid
             * @description The toolbox this agent serves.
             */
            toolbox_id: string;
            /**
             * Format: int64
             * @description Seconds since the agent started.
             */
            uptime_seconds: number;
            /** @description Version of the agent's program. */
            version: string;
        };
        /** @description Metrics of the machine. */
        SystemMetrics: {
            /**
             * Format: double
             * @description CPU in use over the last second or more, 0 to 100.
             */
            cpu_load_percent: number;
            disk?: components["schemas"]["DiskMetrics"] | null;
            host_firewall?: components["schemas"]["HostFirewall"] | null;
            /** @description Memory. */
            memory: components["schemas"]["MemoryMetrics"];
            /**
             * Format: int64
             * @description Seconds since the machine booted.
             */
            uptime_seconds: number;
        };
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
         * @description What a check found.
         * @enum {string}
         */
        Verdict: "ok" | "warning" | "failed" | "not_checked";
        /** @description A change of the agent's version. It is kept on the machine's disk, so it outlives both programs. */
        VersionChange: {
            /** @description When it ended. */
            finished_at?: string | null;
            /** @description The version that ran. Absent where none did. */
            from?: string | null;
            /** @description Names it, a UUID. */
            id: string;
            /** @description Redeploy or rollback. */
            kind: components["schemas"]["VersionChangeKind"];
            /** @description How far it is. */
            phase: components["schemas"]["VersionChangePhase"];
            reason?: components["schemas"]["Reason"] | null;
            /** @description When it began. */
            started_at: string;
            /** @description The version that is to run. */
            to: string;
        };
        /**
         * @description Which change of the agent's version one is.
         * @enum {string}
         */
        VersionChangeKind: "redeploy" | "rollback";
        /**
         * @description How far a change of the agent's version is.
         * @enum {string}
         */
        VersionChangePhase: "fetching" | "candidate" | "draining" | "starting" | "healthy" | "rolled_back" | "failed";
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
        /**
         * @description A way to a machine.
         * @enum {string}
         */
        Way: "dtma_endpoint" | "companion" | "ssh";
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    invoke_by_put: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ConsoleRequest"];
            };
        };
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ConsoleStatus"];
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
            /** @description `toolbox_not_found`: No such toolbox, or not yours */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `method_not_allowed`: Method not allowed on this route */
            405: {
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
             *     `companion_unreachable`: The companion on the machine cannot be reached
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
    invoke: {
        parameters: {
            query?: never;
            header?: {
                /** @description wait=N seconds for the end of a change, N at most 60 */
                Prefer?: string | null;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ConsoleRequest"];
            };
        };
        responses: {
            /** @description As the action's own route answers */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ConsoleStatus"];
                };
            };
            /** @description The machine has accepted it */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ConsoleChange"];
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
             *     `release_unknown`: There is no such release
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
             * @description `version_change_in_progress`: The agent's version is being changed already; wait for its end
             *
             *     `no_previous_version`: There is no version before the one that runs
             *
             *     `releases_not_configured`: The machine was not told where releases are
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
             * @description `release_unavailable`: The machine could not fetch the release
             *
             *     `redeploy_failed`: The agent could not be replaced; the version before it was kept
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
             *     `companion_unreachable`: The companion on the machine cannot be reached
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
    invoke_by_delete: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ConsoleRequest"];
            };
        };
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ConsoleStatus"];
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
            /** @description `toolbox_not_found`: No such toolbox, or not yours */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `method_not_allowed`: Method not allowed on this route */
            405: {
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
             *     `companion_unreachable`: The companion on the machine cannot be reached
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
    invoke_by_patch: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ConsoleRequest"];
            };
        };
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ConsoleStatus"];
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
            /** @description `toolbox_not_found`: No such toolbox, or not yours */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorEnvelope"];
                };
            };
            /** @description `method_not_allowed`: Method not allowed on this route */
            405: {
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
             *     `companion_unreachable`: The companion on the machine cannot be reached
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
    begin_rollout: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: {
            content: {
                "application/json": components["schemas"]["ConsoleRolloutRequest"] | null;
            };
        };
        responses: {
            /** @description It begins with the next tick */
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
    diagnose: {
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
                    "application/json": components["schemas"]["ConsoleDiagnosis"];
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
    logs: {
        parameters: {
            query?: {
                /** @description lines from the end, at most 5000, or `all`; 100 when absent */
                tail?: string;
                follow?: boolean;
            };
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
                    "application/json": components["schemas"]["ConsoleLogs"];
                    "text/plain": string;
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
             *     `companion_unreachable`: The companion on the machine cannot be reached
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
    operation: {
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
                    "application/json": components["schemas"]["ConsoleChange"];
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
             *     `companion_unreachable`: The companion on the machine cannot be reached
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
    redeploy: {
        parameters: {
            query?: never;
            header?: {
                /** @description wait=N seconds for the end, N at most 60 */
                Prefer?: string | null;
            };
            path: {
                toolboxId: string;
            };
            cookie?: never;
        };
        requestBody?: {
            content: {
                "application/json": components["schemas"]["ConsoleRedeployRequest"] | null;
            };
        };
        responses: {
            /** @description The new version is healthy */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ConsoleChange"];
                };
            };
            /** @description The machine has accepted it */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ConsoleChange"];
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
             *     `release_unknown`: There is no such release
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
             * @description `version_change_in_progress`: The agent's version is being changed already; wait for its end
             *
             *     `releases_not_configured`: The machine was not told where releases are
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
             * @description `release_unavailable`: The machine could not fetch the release
             *
             *     `redeploy_failed`: The agent could not be replaced; the version before it was kept
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
             *     `companion_unreachable`: The companion on the machine cannot be reached
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
    restart: {
        parameters: {
            query?: never;
            header?: {
                /** @description wait=N seconds for the end, N at most 60 */
                Prefer?: string | null;
            };
            path: {
                toolboxId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description It answers again */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ConsoleChange"];
                };
            };
            /** @description The machine has accepted it */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ConsoleChange"];
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
             *     `companion_unreachable`: The companion on the machine cannot be reached
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
    rollback: {
        parameters: {
            query?: never;
            header?: {
                /** @description wait=N seconds for the end, N at most 60 */
                Prefer?: string | null;
            };
            path: {
                toolboxId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The version before is healthy */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ConsoleChange"];
                };
            };
            /** @description The machine has accepted it */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ConsoleChange"];
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
             *     `release_unknown`: There is no such release
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
             * @description `version_change_in_progress`: The agent's version is being changed already; wait for its end
             *
             *     `no_previous_version`: There is no version before the one that runs
             *
             *     `releases_not_configured`: The machine was not told where releases are
             */
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
             * @description `release_unavailable`: The machine could not fetch the release
             *
             *     `redeploy_failed`: The agent could not be replaced; the version before it was kept
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
             *     `companion_unreachable`: The companion on the machine cannot be reached
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
    status: {
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
                    "application/json": components["schemas"]["ConsoleStatus"];
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
             *     `companion_unreachable`: The companion on the machine cannot be reached
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
