// The function that panics, served as every function is. Built by scripts/build-wasm --tests.
import { instantiate } from "../../pkg/test-panics/test_panics.js";
import { serve } from "../../supabase/functions/_shared/serve.ts";

serve(instantiate);
