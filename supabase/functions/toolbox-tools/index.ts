// Deploy and manage the tools of a toolbox. The logic is crates/toolbox-tools, built by scripts/build-wasm.
import { instantiate } from "../../../pkg/toolbox-tools/toolbox_tools.js";
import { serve } from "../_shared/serve.ts";

serve(instantiate);
