// Agents enrol, tell the state of their toolbox and learn what it should be. The logic is crates/heartbeat, built by scripts/build-wasm.
import { instantiate } from "../../../pkg/heartbeat/heartbeat.js";
import { serve } from "../_shared/serve.ts";

serve(instantiate);
