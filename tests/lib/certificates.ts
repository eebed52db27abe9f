// Certificates as agents make them, and as impostors have them.

export interface Pair {
  key: string;
  cert: string;
}

interface Wanted {
  /** Subject alternative names as OpenSSL writes them. */
  names: string[];
  /** The authority that signs it; itself when there is none. */
  by?: Pair;
  /** It is an authority. */
  authority?: boolean;
  /** When it is valid for two days, as `faketime` reads it. */
  from?: string;
}

/** A new key and its certificate. */
export async function certificate({ names, by, authority, from = "1 hour ago" }: Wanted): Promise<Pair> {
  const folder = await Deno.makeTempDir();
  const at = (name: string) => `${folder}/${name}`;
  const read = (name: string) => Deno.readTextFile(at(name));
  try {
    if (by) {
      await Deno.writeTextFile(at("ca.pem"), by.cert);
      await Deno.writeTextFile(at("ca.key"), by.key, { mode: 0o600 });
    }
    const { success, stderr } = await new Deno.Command("faketime", {
      args: [
        ...[from, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"],
        ...["-days", "2", "-subj", `/CN=${authority ? "an authority" : "DTMA"}`],
        ...(names.length > 0 ? ["-addext", `subjectAltName=${names.join()}`] : []),
        ...["-addext", `basicConstraints=critical,CA:${authority ? "TRUE" : "FALSE"}`],
        ...(by ? ["-CA", at("ca.pem"), "-CAkey", at("ca.key")] : []),
        ...["-keyout", at("key.pem"), "-out", at("cert.pem")],
      ],
      stdin: "null",
      stderr: "piped",
    }).output();
    if (!success) throw new Error(`openssl: ${new TextDecoder().decode(stderr)}`);
    return { key: await read("key.pem"), cert: await read("cert.pem") };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
