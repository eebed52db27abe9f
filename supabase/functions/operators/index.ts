// What operators see of all toolboxes, and change for all users. The logic is crates/operators, built by scripts/build-wasm.
import { instantiate } from "../../../pkg/operators/operators.js";
import { serve } from "../_shared/serve.ts";

serve(instantiate);
