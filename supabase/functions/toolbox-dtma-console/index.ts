// See, restart, replace and diagnose the agent of a toolbox. The logic is crates/toolbox-dtma-console, built by scripts/build-wasm.
import { instantiate } from "../../../pkg/toolbox-dtma-console/toolbox_dtma_console.js";
import { serve } from "../_shared/serve.ts";

serve(instantiate);
