// The tool environments of users' agents. The logic is crates/manage-agent-tool-environment, built by scripts/build-wasm.
import { instantiate } from "../../../pkg/manage-agent-tool-environment/manage_agent_tool_environment.js";
import { serve } from "../_shared/serve.ts";

serve(instantiate);
