import { type ReactNode, useState } from "react";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { Button } from "@/components/ui/button.tsx";
import { Dialog } from "@/components/ui/dialog.tsx";
import { Field, Input } from "@/components/ui/field.tsx";

interface Props {
  open: boolean;
  onOpenChange: (open: boolean) => void;
  title: string;
  /** What is lost, in words. */
  children: ReactNode;
  /** The name that has to be typed before it can be done. */
  name: string;
  action: string;
  busy: boolean;
  error: unknown;
  onConfirm: () => void;
}

/** Asks before something is lost: says what, and wants its name. */
export function Confirm({ open, onOpenChange, title, children, ...typing }: Props) {
  return (
    <Dialog open={open} onOpenChange={onOpenChange} title={title} description={children}>
      <Typing {...typing} cancel={() => onOpenChange(false)} />
    </Dialog>
  );
}

/** It is there as long as the dialog is open, so that nothing that was typed outlasts it. */
function Typing(
  { name, action, busy, error, onConfirm, cancel }:
    & Pick<Props, "name" | "action" | "busy" | "error" | "onConfirm">
    & { cancel: () => void },
) {
  const [typed, setTyped] = useState("");
  return (
    <form
      className="grid gap-4"
      onSubmit={(event) => {
        event.preventDefault();
        if (typed === name && !busy) onConfirm();
      }}
    >
      <Field label={`Type “${name}” to go on`}>
        {(tied) => (
          <Input
            {...tied}
            value={typed}
            autoComplete="off"
            spellCheck={false}
            onChange={(event) => setTyped(event.target.value)}
          />
        )}
      </Field>
      {error !== null && error !== undefined && <ErrorPanel error={error} />}
      <div className="flex justify-end gap-2">
        <Button onClick={cancel}>Cancel</Button>
        <Button variant="danger" type="submit" disabled={typed !== name} busy={busy && "Working…"}>{action}</Button>
      </div>
    </form>
  );
}
