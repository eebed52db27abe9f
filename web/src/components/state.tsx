import { moment } from "@/components/age.tsx";
import { Tooltip } from "@/components/ui/tooltip.tsx";
import { ago, duration, type Observed, shown, type Tone } from "@/lib/state.ts";
import { useNow } from "@/lib/use-now.ts";
import { cn } from "@/lib/utils.ts";

const TEXT: Record<Tone, string> = {
  ok: "text-ok",
  moving: "text-moving",
  warn: "text-warn",
  bad: "text-bad",
  off: "text-ink-3",
  unknown: "text-unknown",
};

const DOT: Record<Tone, string> = {
  ok: "bg-ok",
  moving: "bg-moving animate-pulse",
  warn: "rounded-[1px] rotate-45 bg-warn",
  bad: "rounded-[2px] bg-bad",
  off: "border-2 border-line-strong",
  unknown: "border border-dashed border-unknown",
};

interface Props {
  of: Observed;
  /** Shows the age beside the word. */
  age?: boolean;
  className?: string;
}

/** The one way to show a state: a dot, a word, how old it is; from what it is known on hover and focus. */
export function State({ of, age = true, className }: Props) {
  const now = useNow();
  const { word, tone, ageSeconds, last } = shown(of, now);
  return (
    <Tooltip
      text={
        <>
          {of.evidence ?? "Nothing else is known"}
          {of.asOf !== null && <span className="block text-ink-3">{moment(of.asOf)}</span>}
        </>
      }
    >
      <span
        tabIndex={0}
        role="note"
        data-tone={tone}
        data-state-word={word}
        data-as-of={of.asOf}
        className={cn("inline-flex max-w-full min-w-0 items-center gap-1.5 text-[13px]", className)}
      >
        <span aria-hidden className={cn("size-2 shrink-0 rounded-full", DOT[tone])} />
        <span className={cn("truncate font-medium", TEXT[tone])}>{word}</span>
        {last !== null && <span className="truncate text-ink-3">was {last}</span>}
        {age && last === null && ageSeconds !== null && (
          <span className="whitespace-nowrap text-ink-3">
            {tone === "moving" ? duration(ageSeconds) : ago(ageSeconds)}
          </span>
        )}
      </span>
    </Tooltip>
  );
}
