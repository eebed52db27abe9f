import { RotateCw, TriangleAlert } from "lucide-react";
import type { ReactNode } from "react";
import { advice } from "@/api/advice.ts";
import { toApiError } from "@/api/error.ts";
import { endSession } from "@/app/session.ts";
import { Copy } from "@/components/copy.tsx";
import { Button } from "@/components/ui/button.tsx";
import { cn } from "@/lib/utils.ts";

/** Nothing but another session helps. */
const SIGN_IN = new Set(["invalid_token", "authentication_required", "user_token_required", "PGRST301", "PGRST303"]);

interface Props {
  error: unknown;
  /** What could not be done, before the sentence of the error: "The tools could not be read". */
  title?: string;
  retry?: (() => void) | undefined;
  /** A better thing to do than to try again. */
  action?: ReactNode;
  className?: string;
}

/** The one way to show a failure: sentence, code, what to do, the request's id to copy, try again. */
export function ErrorPanel({ error, title, retry, action, className }: Props) {
  const failed = toApiError(error);
  const reason = failed.details?.reason;
  const wrong = failed.details?.errors ?? [];
  const todo = (reason ? advice(reason.code) : null) ?? advice(failed.code);
  return (
    <div role="alert" className={cn("rounded-md border border-bad/40 bg-bad-soft p-3 text-[13px]", className)}>
      <div className="flex flex-wrap items-start gap-2 sm:flex-nowrap">
        <TriangleAlert aria-hidden className="mt-0.5 size-4 shrink-0 text-bad" />
        <div className="grid min-w-0 flex-1 basis-4/5 gap-1 sm:basis-0">
          <p className="font-medium break-words">
            {title === undefined ? failed.message : `${title}: ${failed.message}`}
          </p>
          {reason && reason.message !== failed.message && <p className="break-words">{reason.message}</p>}
          {wrong.length > 0 && (
            <ul className="list-disc pl-4">
              {wrong.slice(0, 10).map((each) => (
                <li key={`${each.field} ${each.code}`} className="break-words">
                  <code className="font-mono text-xs">{each.field}</code>: {each.message}
                </li>
              ))}
            </ul>
          )}
          {todo !== null && <p className="text-ink-2">{todo}.</p>}
          <p className="flex flex-wrap items-center gap-x-3 gap-y-1 text-xs text-ink-2">
            <code className="font-mono" data-testid="error-code">{reason?.code ?? failed.code}</code>
            {failed.requestId !== null && (
              <span className="inline-flex items-center gap-1">
                request <Copy text={failed.requestId} what="the request id" />
              </span>
            )}
          </p>
        </div>
        <div className="flex shrink-0 flex-wrap gap-2 pl-6 empty:hidden sm:pl-0">
          {action}
          {SIGN_IN.has(failed.code) && (
            <Button size="sm" variant="primary" onClick={() => void endSession()}>Sign in again</Button>
          )}
          {/* What was not loaded once is not asked for again by the page that is open. */}
          {failed.code === "page_not_loaded"
            ? <Button size="sm" onClick={() => location.reload()}>Reload the page</Button>
            : retry !== undefined && (
              <Button size="sm" onClick={retry}>
                <RotateCw aria-hidden /> Try again
              </Button>
            )}
        </div>
      </div>
    </div>
  );
}
