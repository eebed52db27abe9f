import { Copy } from "@/components/copy.tsx";
import { bytesInWords } from "@/lib/bytes.ts";

/** Pictures that browsers draw and that run nothing. */
const DRAWN = /^image\/(png|jpeg|gif|webp|avif|bmp)$/;
/** More than this is cut on the screen; the copy has all of it. */
const MOST = 100_000;

export function Text({ text, what }: { text: string; what: string }) {
  return (
    <div className="grid gap-1">
      <pre
        tabIndex={0}
        aria-label={what}
        className="max-h-96 overflow-auto rounded-md border border-line bg-muted p-2.5 font-mono text-xs break-words whitespace-pre-wrap"
      >
        {text.length > MOST ? `${text.slice(0, MOST)}…` : text}
      </pre>
      <Copy text={text} label={text.length > MOST ? "Copy all of it" : "Copy"} what={what} />
    </div>
  );
}

/**
 * One part of what a tool answered. It is text of others: no part of it becomes an element of this page but a picture of a known
 * kind, as data, and no link is made of it.
 */
export function McpContent({ of }: { of: Record<string, unknown> }) {
  const { type } = of;
  if (type === "text" && typeof of.text === "string") return <Text text={of.text} what="text" />;
  if (type === "image" && typeof of.data === "string" && typeof of.mimeType === "string" && DRAWN.test(of.mimeType)) {
    return (
      <img
        src={`data:${of.mimeType};base64,${of.data.replaceAll(/[^A-Za-z0-9+/=]/g, "")}`}
        alt={`What the tool answered, ${of.mimeType}`}
        className="max-h-96 max-w-full rounded-md border border-line"
      />
    );
  }
  if ((type === "image" || type === "audio") && typeof of.data === "string") {
    return (
      <p className="text-[13px] text-ink-2">
        {type === "audio" ? "Sound" : "A picture"} of the kind {String(of.mimeType)},{" "}
        {bytesInWords(of.data.length * 0.75)} in size; it is not shown here.
      </p>
    );
  }
  return <Text text={JSON.stringify(of, null, 2)} what={String(type)} />;
}
