// MCP clients use the servers of a toolbox. The logic is crates/mcp, built by scripts/build-wasm.
import { instantiate } from "../../../pkg/mcp/mcp.js";
import { serve } from "../_shared/serve.ts";

serve(instantiate);
