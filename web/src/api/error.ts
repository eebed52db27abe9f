import type { components } from "./generated/toolbox-tools.ts";

export type ErrorCode = components["schemas"]["ErrorCode"];
type ErrorDetails = components["schemas"]["ErrorDetails"];
type ErrorBody = components["schemas"]["ErrorBody"];

/** Why a request failed, whoever answered: a sentence, a stable code, and the id by which an operator finds it. */
export class ApiError extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly status: number | null,
    readonly requestId: string | null = null,
    readonly details: Partial<ErrorDetails> | null = null,
    /** What was answered beside the error: what is still known, and what was tried. */
    readonly answer: unknown = null,
  ) {
    super(message);
    this.name = "ApiError";
  }
}

/** Makes an error of what a function answered. */
export function fromAnswer(status: number, answer: unknown): ApiError {
  const body = (answer as { error?: Partial<ErrorBody> | null } | null | undefined)?.error;
  if (typeof body?.code === "string" && typeof body.message === "string") {
    return new ApiError(body.code, body.message, status, body.request_id ?? null, body.details ?? null, answer);
  }
  const said = answer as { code?: unknown; message?: unknown; msg?: unknown } | null | undefined;
  const message = [said?.message, said?.msg].find((text) => typeof text === "string");
  const code = typeof said?.code === "string" ? said.code.toLowerCase() : `http_${status}`;
  return new ApiError(code, message ?? `The server answered ${status} without saying why`, status);
}

/** Whether the server answered that it will not. Without an answer, or one of a fault, what was asked may have been done. */
export function isRefused(error: unknown): boolean {
  const { status } = toApiError(error);
  return status !== null && status >= 400 && status < 500;
}

/** How browsers, and the bundler for styles, say that a file of the console could not be loaded. */
const NOT_LOADED = /dynamically imported module|module script failed|preload CSS/i;

/** Makes an error of anything that was thrown. */
export function toApiError(thrown: unknown): ApiError {
  if (thrown instanceof ApiError) return thrown;
  if (thrown instanceof Error && NOT_LOADED.test(thrown.message)) {
    const message = "A part of this page could not be loaded: it cannot be reached, or a newer console took its place";
    return new ApiError("page_not_loaded", message, null);
  }
  const name = thrown instanceof Error ? thrown.name : "";
  if (name === "TimeoutError") return new ApiError("no_answer", "The server did not answer in time", null);
  const supabase = thrown as { code?: unknown; message?: unknown; status?: unknown } | null;
  // Sign-in says 0 where nobody answered.
  if (thrown instanceof TypeError || supabase?.status === 0) {
    return navigator.onLine
      ? new ApiError("unreachable", "The server could not be reached", null)
      : new ApiError("offline", "This browser is offline", null);
  }
  if (typeof supabase?.message === "string" && supabase.message !== "") {
    const status = typeof supabase.status === "number" ? supabase.status : null;
    return new ApiError(typeof supabase.code === "string" ? supabase.code : "failed", supabase.message, status);
  }
  return new ApiError("failed", "Something failed in this page", null);
}
