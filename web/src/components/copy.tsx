import { Check, Copy as CopyIcon } from "lucide-react";
import { useState } from "react";
import { cn } from "@/lib/utils.ts";

interface Props {
  /** What is copied; of what is long, how it is made. */
  text: string | (() => string);
  /** What is shown; the text itself, shortened in its middle, unless given. */
  label?: string;
  /** Names what is copied to those who cannot see it. */
  what: string;
  className?: string;
}

/** An id, an image or a digest: in mono, shortened in the middle, copied by a click. */
export function Copy({ text, label, what, className }: Props) {
  const [copied, setCopied] = useState<boolean | null>(null);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(typeof text === "string" ? text : text());
      setCopied(true);
    } catch {
      setCopied(false);
    }
    setTimeout(() => setCopied(null), 2000);
  };
  return (
    <button
      type="button"
      onClick={copy}
      title={typeof text === "string" ? text : undefined}
      className={cn(
        "inline-flex max-w-full items-center gap-1 rounded font-mono text-xs text-ink-2 hover:text-ink",
        className,
      )}
    >
      <span className="truncate">{label ?? (typeof text === "string" ? shorten(text) : "Copy")}</span>
      <span className="sr-only">, copy {what}</span>
      {copied === true
        ? <Check aria-hidden className="size-3 shrink-0 text-ok" />
        : <CopyIcon aria-hidden className="size-3 shrink-0" />}
      <span role="status" className={copied === false ? "text-bad" : "sr-only"}>
        {copied === true ? "Copied" : copied === false ? "not copied: the browser refused" : ""}
      </span>
    </button>
  );
}

function shorten(text: string): string {
  return text.length <= 28 ? text : `${text.slice(0, 14)}…${text.slice(-10)}`;
}

/** A command or a snippet, whole, with a button that copies it. */
export function Snippet({ text, what }: { text: string; what: string }) {
  return (
    <div className="flex items-start gap-2 rounded-md border border-line bg-muted p-2.5">
      <code className="min-w-0 flex-1 font-mono text-xs break-all whitespace-pre-wrap" data-testid="snippet">
        {text}
      </code>
      <Copy
        text={text}
        label="Copy"
        what={what}
        className="rounded-md border border-line bg-surface px-2 py-1 font-sans"
      />
    </div>
  );
}
