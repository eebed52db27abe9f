import { Secret } from "@/components/secret.tsx";
import { Field, Input, Select, Textarea } from "@/components/ui/field.tsx";
import { kindOf, type Property, typedDefault } from "@/lib/schema.ts";

interface Props {
  properties: Property[];
  typed: Record<string, string>;
  wrong: Record<string, string>;
  onChange: (name: string, typed: string) => void;
  /** The values are secrets. */
  secret?: boolean;
}

/** A control for each property of a JSON Schema. Titles and descriptions may be of others: they are only ever text. */
export function SchemaFields({ properties, typed, wrong, onChange, secret = false }: Props) {
  return properties.map(({ name, required, schema }) => {
    const kind = kindOf(schema);
    const value = typed[name] ?? "";
    const label = `${schema.title ?? name}${required ? "" : " (optional)"}`;
    const set = (next: string) => onChange(name, next);
    const shown = typedDefault(schema);
    return (
      <Field key={name} label={label} hint={schema.description} error={wrong[name]}>
        {(tied) => {
          const common = { ...tied, name, value, "aria-required": required } as const;
          if (secret) return <Secret {...common} onChange={set} />;
          if (kind === "choice" || kind === "boolean") {
            const choices = kind === "boolean" ? ["true", "false"] : (schema.enum ?? []).map(String);
            return (
              <Select {...common} onChange={(event) => set(event.target.value)}>
                <option value="">{shown === "" ? "not set" : `not set (${shown})`}</option>
                {choices.map((each) => <option key={each} value={each}>{each}</option>)}
              </Select>
            );
          }
          if (kind === "lines" || kind === "json") {
            return (
              <Textarea
                {...common}
                spellCheck={false}
                className="font-mono text-xs"
                placeholder={kind === "lines" ? "one a line" : "JSON"}
                onChange={(event) => set(event.target.value)}
              />
            );
          }
          return (
            <Input
              {...common}
              autoComplete="off"
              inputMode={kind === "text" ? undefined : "decimal"}
              placeholder={shown}
              onChange={(event) => set(event.target.value)}
            />
          );
        }}
      </Field>
    );
  });
}
