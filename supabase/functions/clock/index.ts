// What is due without anybody asking for it. The logic is crates/clock, built by scripts/build-wasm.
import { instantiate } from "../../../pkg/clock/clock.js";
import { serve } from "../_shared/serve.ts";

serve(instantiate);
