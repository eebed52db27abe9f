// Written by scripts/gen-api.mjs from docs/api/toolboxes-user.openapi.json. Do not edit.

export interface paths {
    "/": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The caller's toolboxes, the oldest first. */
        get: operations["list"];
        put?: never;
        /** Makes a toolbox. For a machine of the user's own the answer holds the one command that lets it join. */
        post: operations["create"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/options": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Regions and sizes of machines that can be bought now, with their prices. */
        get: operations["options"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/quota": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** How much the caller may have, and has. */
        get: operations["quota"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/{toolboxId}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One toolbox. */
        get: operations["get"];
        put?: never;
        post?: never;
        /** Removes a toolbox. A machine of the user's own is forgotten at once; what runs on it stays until it is uninstalled there. */
        delete: operations["remove"];
        options?: never;
        head?: never;
        /** Renames a toolbox, describes it anew, or says where a machine of the user's own answers. */
        patch: operations["update"];
        trace?: never;
    };
    "/{toolboxId}/enrolment": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** A new command for a machine of the user's own, with a new token. Earlier tokens end; once it is used, so do earlier keys. */
        post: operations["enrol"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/{toolboxId}/reboot": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Restarts a bought machine. */
        post: operations["reboot"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/{toolboxId}/refresh-status": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Asks the machine now. */
        post: operations["refresh"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/{toolboxId}/resize": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Gives a bought machine another size; its tools stay. The machine is off for some minutes. */
        post: operations["resize"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/{toolboxId}/retry": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Tries again to make or to remove a bought machine, after an error. */
        post: operations["retry"];
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
         * @description What Docker says of the health check that an image brings (`HEALTHCHECK`).
         * @enum {string}
         */
        ContainerHealth: "starting" | "healthy" | "unhealthy";
        /** @description Body of `POST /`: a toolbox that is wanted. */
        CreateToolboxRequest: {
            /**
             * @description For `byo`: the address at which the machine answers; that from which it enrols when absent.
             * @example 198.51.100.7
             */
            address?: string | null;
            /** @description What the user says of it. */
            description?: string | null;
            /** @description For `droplet`: the image; the operator's default when absent. */
            imageSlug?: string | null;
            kind?: components["schemas"]["ToolboxKind"] | null;
            /** @description What the user calls it. */
            name: string;
            /** @description For `droplet`: the region; the operator's default when absent. */
            regionSlug?: string | null;
            /** @description For `droplet`: the size; the operator's default when absent. */
            sizeSlug?: string | null;
        };
        /** @description How a machine joins. */
        Enrolment: {
            /** @description One command, for a shell of root on the machine. It holds a token that is good once. */
            command: string;
            /** @description Until when the token is good, RFC 3339. */
            expires_at: string;
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
        /** @description A region. */
        RegionOption: {
            /** @description Its name for people. */
            name: string;
            /** @description Names it in an order. */
            slug: string;
        };
        /** @description Body of `POST /{toolboxId}/resize`. */
        ResizeToolboxRequest: {
            /** @description The size that the machine shall have. */
            sizeSlug: string;
        };
        /** @description A size, and what it costs. */
        SizeOption: {
            /** @description Its class, such as `Basic`. */
            description: string;
            /**
             * Format: int64
             * @description Disk, in GiB.
             */
            disk_gib: number;
            /**
             * Format: int64
             * @description Memory, in MiB.
             */
            memory_mib: number;
            /**
             * Format: double
             * @description US dollars an hour.
             */
            price_hourly_usd: number;
            /**
             * Format: double
             * @description US dollars a month at most.
             */
            price_monthly_usd: number;
            /** @description Slugs of the regions that have it. */
            regions: string[];
            /** @description Names it in an order. */
            slug: string;
            /**
             * Format: int32
             * @description Processors.
             */
            vcpus: number;
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
        /** @description What a bought machine costs, in US dollars. */
        ToolboxCost: {
            /**
             * Format: double
             * @description An hour, at its present size.
             */
            per_hour_usd: number;
            /**
             * Format: double
             * @description A month at most, at its present size.
             */
            per_month_usd: number;
            /**
             * Format: double
             * @description So far, with all its earlier sizes.
             */
            so_far_usd: number;
        };
        /** @description Answer of `POST /` for a machine of the user's own, and of `POST /{toolboxId}/enrolment`. */
        ToolboxEnrolment: components["schemas"]["ToolboxView"] & {
            /** @description How the machine joins. */
            enrolment: components["schemas"]["Enrolment"];
        };
        /**
         * @description Where a toolbox's machine comes from.
         * @enum {string}
         */
        ToolboxKind: "byo" | "droplet";
        /** @description What machines can be bought now. */
        ToolboxOptions: {
            /** @description Image of an order that names none. */
            default_image_slug: string;
            /** @description Region of an order that names none; null when each has to. */
            default_region_slug?: string | null;
            /** @description Size of an order that names none; null when each has to. */
            default_size_slug?: string | null;
            /** @description Where they can be. */
            regions: components["schemas"]["RegionOption"][];
            /** @description How large they can be, the cheapest first. */
            sizes: components["schemas"]["SizeOption"][];
        };
        /** @description How far a toolbox is. */
        ToolboxProgress: {
            /**
             * Format: int64
             * @description The same as an age, in seconds.
             */
            age_seconds: number;
            /** @description What happens now, in words. */
            message: string;
            /** @description What comes after it, in words; null when nothing comes by itself. */
            next?: string | null;
            /**
             * Format: int32
             * @description How much is done, 0 to 100.
             */
            percent: number;
            /** @description What went wrong with it last, in words, while it is tried again. */
            problem?: string | null;
            /** @description Since when this step runs, RFC 3339. */
            since: string;
            /** @description Stable name of the step; the status where there are no steps. */
            step: string;
        };
        /** @description How much a user may have, and has. */
        ToolboxQuota: {
            /** @description They may. */
            limits: components["schemas"]["QuotaLimits"];
            /** @description They have. */
            used: components["schemas"]["QuotaUsed"];
        };
        /** @description Answer of `POST /{toolboxId}/refresh-status`: what the machine said when it was asked just now, or why it did not. */
        ToolboxRefreshed: components["schemas"]["ToolboxView"] & {
            /** @description Version of the agent that answered just now; null when none did. */
            agent_version?: string | null;
            /** @description When it was asked, RFC 3339. */
            checked_at: string;
            /** @description Whether Docker on the machine answers the agent; null when no agent answered. */
            docker_reachable?: boolean | null;
            error?: components["schemas"]["ErrorBody"] | null;
        };
        /** @description A toolbox as its owner sees it. */
        ToolboxView: {
            cost?: components["schemas"]["ToolboxCost"] | null;
            /** @description When it was asked for, RFC 3339. */
            created_at: string;
            /** @description What the user says of it. */
            description?: string | null;
            /**
             * Format: int64
             * @description The droplet at DigitalOcean.
             */
            do_droplet_id?: number | null;
            /** @description Its name there. */
            do_droplet_name?: string | null;
            /** @description Version that its agent last reported. */
            dtma_last_known_version?: string | null;
            /**
             * Format: uuid
             * @description Its id.
             */
            id: string;
            /** @description Image at DigitalOcean. */
            image_slug?: string | null;
            /** @description Where its machine comes from. */
            kind: components["schemas"]["ToolboxKind"];
            /**
             * Format: int64
             * @description The same as an age, in seconds.
             */
            last_heartbeat_age_seconds?: number | null;
            /** @description When its agent last reported, RFC 3339. */
            last_heartbeat_at?: string | null;
            /** @description What the user calls it. */
            name: string;
            progress?: components["schemas"]["ToolboxProgress"] | null;
            /** @description Why making or removing it failed, in words; only in the two error statuses. */
            provisioning_error_message?: string | null;
            /** @description Where its machine answers, once that is known. */
            public_ip_address?: string | null;
            /** @description Region at DigitalOcean. */
            region_slug?: string | null;
            /** @description Size at DigitalOcean. */
            size_slug?: string | null;
            /**
             * @description Where it is in its life: `pending_provision`, `provisioning`, `awaiting_heartbeat`, `active`, `unresponsive`,
             *     `pending_deprovision`, `deprovisioning`, `deprovisioned`, `error_provisioning`, `error_deprovisioning`.
             */
            status: string;
            /**
             * Format: int64
             * @description The same as an age, in seconds.
             */
            status_age_seconds: number;
            /** @description Since when, RFC 3339. */
            status_changed_at: string;
            /** @description When its row last changed, RFC 3339. */
            updated_at: string;
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
        /** @description Body of `PATCH /{toolboxId}`. What is absent stays; `null` ends a description or an address. */
        UpdateToolboxRequest: {
            /**
             * @description The address at which a machine of the user's own answers.
             * @default null
             */
            address?: string | null;
            /**
             * @description What the user says of it.
             * @default null
             */
            description?: string | null;
            /**
             * @description What the user calls it.
             * @default null
             */
            name?: string | null;
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
    list: {
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
                    "application/json": components["schemas"]["ToolboxView"][];
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
    create: {
        parameters: {
            query?: never;
            header?: {
                /** @description of a machine that is bought: ordering again with the same key makes no second one */
                "Idempotency-Key"?: string | null;
                /** @description wait=N seconds for a bought machine, N at most 60 */
                Prefer?: string | null;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["CreateToolboxRequest"];
            };
        };
        responses: {
            /** @description Of a machine of the user's own; or a bought one is ready */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ToolboxEnrolment"];
                };
            };
            /** @description A machine is ordered; `progress` tells how far it is */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ToolboxView"];
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
            /**
             * @description `database_bad_response`: The database's answer could not be understood
             *
             *     `provider_refused`: DigitalOcean refused the request
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
             * @description `provider_unavailable`: DigitalOcean does not answer; try again in a moment
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
    options: {
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
                    "application/json": components["schemas"]["ToolboxOptions"];
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
            /**
             * @description `database_bad_response`: The database's answer could not be understood
             *
             *     `provider_refused`: DigitalOcean refused the request
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
             * @description `provider_unavailable`: DigitalOcean does not answer; try again in a moment
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
    quota: {
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
                    "application/json": components["schemas"]["ToolboxQuota"];
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
    get: {
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
                    "application/json": components["schemas"]["ToolboxView"];
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
    remove: {
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
            /** @description A bought machine is being removed */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ToolboxView"];
                };
            };
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
            /** @description `toolbox_not_found`: No such toolbox, or not yours */
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
             * @description `database_bad_response`: The database's answer could not be understood
             *
             *     `provider_refused`: DigitalOcean refused the request
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
             * @description `provider_unavailable`: DigitalOcean does not answer; try again in a moment
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
    update: {
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
                "application/json": components["schemas"]["UpdateToolboxRequest"];
            };
        };
        responses: {
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ToolboxView"];
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
            /** @description `illegal_state`: The state of the instance does not allow this */
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
            /**
             * @description `database_bad_response`: The database's answer could not be understood
             *
             *     `provider_refused`: DigitalOcean refused the request
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
             * @description `provider_unavailable`: DigitalOcean does not answer; try again in a moment
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
    enrol: {
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
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ToolboxEnrolment"];
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
             * @description `database_bad_response`: The database's answer could not be understood
             *
             *     `provider_refused`: DigitalOcean refused the request
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
             * @description `provider_unavailable`: DigitalOcean does not answer; try again in a moment
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
    reboot: {
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
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ToolboxView"];
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
             * @description `operation_in_progress`: Another operation on this instance is in progress
             *
             *     `illegal_state`: The state of the instance does not allow this
             */
            409: {
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
            /**
             * @description `database_bad_response`: The database's answer could not be understood
             *
             *     `provider_refused`: DigitalOcean refused the request
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
             * @description `provider_unavailable`: DigitalOcean does not answer; try again in a moment
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
    refresh: {
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
                    "application/json": components["schemas"]["ToolboxRefreshed"];
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
             *
             *     `provider_refused`: DigitalOcean refused the request
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
             *     `provider_unavailable`: DigitalOcean does not answer; try again in a moment
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
    resize: {
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
                "application/json": components["schemas"]["ResizeToolboxRequest"];
            };
        };
        responses: {
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ToolboxView"];
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
            /**
             * @description `operation_in_progress`: Another operation on this instance is in progress
             *
             *     `illegal_state`: The state of the instance does not allow this
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
            /**
             * @description `database_bad_response`: The database's answer could not be understood
             *
             *     `provider_refused`: DigitalOcean refused the request
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
             * @description `provider_unavailable`: DigitalOcean does not answer; try again in a moment
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
    retry: {
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
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ToolboxView"];
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
            /** @description `illegal_state`: The state of the instance does not allow this */
            409: {
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
            /**
             * @description `database_bad_response`: The database's answer could not be understood
             *
             *     `provider_refused`: DigitalOcean refused the request
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
             * @description `provider_unavailable`: DigitalOcean does not answer; try again in a moment
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
}
