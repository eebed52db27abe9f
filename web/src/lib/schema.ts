// What a form needs of a JSON Schema, and the values that people typed into it. Pure. A schema may come from a tool, so nothing
// about its form is taken for granted, and none of its expressions is run here.

export interface JsonSchema {
  type?: string | string[];
  title?: string;
  description?: string;
  default?: unknown;
  enum?: unknown[];
  const?: unknown;
  format?: string;
  properties?: Record<string, JsonSchema>;
  required?: string[];
  items?: JsonSchema;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  [further: string]: unknown;
}

export interface Property {
  name: string;
  required: boolean;
  schema: JsonSchema;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const text = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);

/** The properties of an object's schema, the required ones first. */
export function propertiesOf(schema: unknown): Property[] {
  if (!isObject(schema) || !isObject(schema.properties)) return [];
  const required = new Set(Array.isArray(schema.required) ? schema.required : []);
  const all = Object.entries(schema.properties).map(([name, each]): Property => {
    const given = isObject(each) ? each as JsonSchema : {};
    // Words of others: only texts are shown.
    return {
      name,
      required: required.has(name),
      schema: { ...given, title: text(given.title), description: text(given.description) },
    };
  });
  return [...all.filter((each) => each.required), ...all.filter((each) => !each.required)];
}

export type Kind = "text" | "number" | "integer" | "boolean" | "choice" | "lines" | "json";

/** By which control a value is given. */
export function kindOf(schema: JsonSchema): Kind {
  if (Array.isArray(schema.enum) && schema.enum.length > 0 && schema.enum.every((each) => typeof each !== "object")) {
    return "choice";
  }
  const type = Array.isArray(schema.type) ? schema.type.find((each) => each !== "null") : schema.type;
  switch (type) {
    case "string":
      return "text";
    case "number":
    case "integer":
    case "boolean":
      return type;
    case "array":
      return isObject(schema.items) && schema.items.type === "string" && schema.items.enum === undefined
        ? "lines"
        : "json";
    default:
      return "json";
  }
}

/** What stands in a control before one types. */
export function typedDefault(schema: JsonSchema): string {
  const { default: value } = schema;
  if (value === undefined || value === null) return "";
  if (kindOf(schema) === "lines" && Array.isArray(value)) return value.join("\n");
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** Why what was typed is no value; the sentence is for the one who typed. */
export class NoValue extends Error {}

/** The value that was typed; undefined where nothing was. */
export function valueOf(schema: JsonSchema, typed: string): unknown {
  const kind = kindOf(schema);
  if (typed === "" || (kind !== "text" && typed.trim() === "")) return undefined;
  switch (kind) {
    case "text":
      return typed;
    case "choice":
      return (schema.enum ?? []).find((each) => String(each) === typed);
    case "boolean":
      return typed === "true";
    case "number":
    case "integer": {
      const value = Number(typed);
      if (!Number.isFinite(value)) throw new NoValue("This is no number");
      if (kind === "integer" && !Number.isInteger(value)) throw new NoValue("This is no whole number");
      return value;
    }
    case "lines":
      return typed.split("\n").filter((line) => line !== "");
    case "json":
      try {
        return JSON.parse(typed);
      } catch {
        throw new NoValue("This is no JSON");
      }
  }
}

/** The values of a form, and by property what is wrong with them. */
export function valuesOf(
  properties: Property[],
  typed: Record<string, string>,
): { values: Record<string, unknown>; wrong: Record<string, string> } {
  const values: Record<string, unknown> = {};
  const wrong: Record<string, string> = {};
  for (const { name, required, schema } of properties) {
    try {
      const value = valueOf(schema, typed[name] ?? "");
      if (value !== undefined) values[name] = value;
      else if (required && kindOf(schema) === "text" && (schema.minLength ?? 0) === 0) values[name] = "";
      else if (required) wrong[name] = "This is needed";
    } catch (error) {
      if (!(error instanceof NoValue)) throw error;
      wrong[name] = error.message;
    }
  }
  return { values, wrong };
}
