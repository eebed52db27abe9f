import { Eye, EyeOff } from "lucide-react";
import { type ComponentProps, useState } from "react";
import { Button } from "@/components/ui/button.tsx";
import { Input } from "@/components/ui/field.tsx";

type Props = Omit<ComponentProps<"input">, "onChange" | "type"> & { onChange: (value: string) => void };

/** A secret that is typed: hidden until one asks to see it. No password manager keeps it. */
export function Secret({ onChange, ...rest }: Props) {
  const [seen, setSeen] = useState(false);
  return (
    <div className="flex gap-1">
      <Input
        {...rest}
        type={seen ? "text" : "password"}
        autoComplete="off"
        data-1p-ignore
        data-lpignore="true"
        spellCheck={false}
        className="font-mono"
        onChange={(event) => onChange(event.target.value)}
      />
      <Button
        size="icon"
        aria-label={seen ? "Hide it" : "Show it"}
        aria-pressed={seen}
        onClick={() => setSeen(!seen)}
      >
        {seen ? <EyeOff aria-hidden /> : <Eye aria-hidden />}
      </Button>
    </div>
  );
}
