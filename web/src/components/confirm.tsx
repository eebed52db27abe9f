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
export function Confirm({ open, onOpenChange, title, children, name, action, busy, error, onConfirm }: Props) {
  const [typed, setTyped] = useState("");
  const change = (next: boolean) => {
    setTyped("");
    onOpenChange(next);
  };
  return (
    <Dialog open={open} onOpenChange={change} title={title} description={children}>
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
          <Button onClick={() => change(false)}>Cancel</Button>
          <Button variant="danger" type="submit" disabled={typed !== name} busy={busy && "Working…"}>{action}</Button>
        </div>
      </form>
    </Dialog>
  );
}
