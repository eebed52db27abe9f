// Toolboxes themselves: made, seen, renamed and removed. The logic is crates/toolboxes-user, built by scripts/build-wasm.
import { instantiate } from "../../../pkg/toolboxes-user/toolboxes_user.js";
import { serve } from "../_shared/serve.ts";

serve(instantiate);
