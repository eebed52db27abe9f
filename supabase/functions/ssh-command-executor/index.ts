// One operation of a closed set on the machine of a toolbox, by SSH. The logic is crates/ssh-command-executor, built by scripts/build-wasm.
import { instantiate } from "../../../pkg/ssh-command-executor/ssh_command_executor.js";
import { serve } from "../_shared/serve.ts";

serve(instantiate);
