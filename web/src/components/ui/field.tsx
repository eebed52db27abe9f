import { Label } from "radix-ui";
import { type ComponentProps, type ReactNode, useId } from "react";
import { cn } from "@/lib/utils.ts";

const box =
  "w-full rounded-md border border-line-strong/60 bg-surface px-2.5 text-[13px] text-ink placeholder:text-ink-3 " +
  "disabled:opacity-50 aria-invalid:border-bad";

export function Input({ className, ...rest }: ComponentProps<"input">) {
  return <input className={cn(box, "h-8", className)} {...rest} />;
}

export function Textarea({ className, ...rest }: ComponentProps<"textarea">) {
  return <textarea className={cn(box, "min-h-20 py-1.5", className)} {...rest} />;
}

/** The browser's own list: it works with keyboard, touch and screen readers as people know it. */
export function Select({ className, ...rest }: ComponentProps<"select">) {
  return <select className={cn(box, "h-8 pr-7", className)} {...rest} />;
}

interface FieldProps {
  label: string;
  hint?: ReactNode;
  error?: string | undefined;
  /** Gets what ties the control to its label, hint and error. */
  children: (tied: { id: string; "aria-describedby": string | undefined; "aria-invalid": boolean }) => ReactNode;
}

export function Field({ label, hint, error, children }: FieldProps) {
  const id = useId();
  const said = error ?? hint;
  const describedBy = said === undefined ? undefined : `${id}-said`;
  return (
    <div className="grid content-start gap-1.5">
      <Label.Root htmlFor={id} className="text-[13px] font-medium">{label}</Label.Root>
      {children({ id, "aria-describedby": describedBy, "aria-invalid": error !== undefined })}
      {said !== undefined && (
        <p
          id={`${id}-said`}
          className={cn("text-xs", error === undefined ? "text-ink-3" : "text-bad")}
          aria-live="polite"
        >
          {said}
        </p>
      )}
    </div>
  );
}
