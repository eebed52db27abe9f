// What the servers of both eras hold.
const PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";
const WAV = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAAAAA==";
export const text = (text) => ({ type: "text", text });
const image = { type: "image", data: PNG, mimeType: "image/png" };
const resource = (uri, mimeType, rest) => ({
  type: "resource",
  resource: { uri, mimeType, ...rest },
});
export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
export const any = { type: "object", properties: {} };

/** What the tools that only answer do answer. */
export const CONTENT = {
  test_simple_text: [text("This is a simple text response for testing.")],
  test_image_content: [image],
  test_audio_content: [{ type: "audio", data: WAV, mimeType: "audio/wav" }],
  test_embedded_resource: [
    resource("test://embedded-resource", "text/plain", {
      text: "This is an embedded resource content.",
    }),
  ],
  test_multiple_content_types: [
    text("Multiple content types test:"),
    image,
    resource("test://mixed-content-resource", "application/json", {
      text: '{"test":"data","value":123}',
    }),
  ],
};

export const SCHEMA_2020_12 = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  type: "object",
  $defs: {
    address: {
      $anchor: "address",
      type: "object",
      properties: { street: { type: "string" }, city: { type: "string" } },
    },
  },
  properties: {
    name: { type: "string" },
    address: { $ref: "#/$defs/address" },
  },
  allOf: [{ anyOf: [{ required: ["name"] }, { required: ["address"] }] }],
  if: { required: ["address"] },
  then: { properties: { name: { minLength: 1 } } },
  else: {},
  additionalProperties: false,
};

export const RESOURCES = {
  "test://static-text": ["Static text", "text/plain", {
    text: "This is the content of the static text resource.",
  }],
  "test://static-binary": ["Static binary", "image/png", { blob: PNG }],
  "test://watched-resource": ["Watched resource", "text/plain", {
    text: "Watched resource content",
  }],
};

export const PROMPTS = {
  test_simple_prompt: [
    [],
    () => [text("This is a simple prompt for testing.")],
  ],
  test_prompt_with_arguments: [["arg1", "arg2"], ({ arg1, arg2 }) => [
    text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`),
  ]],
  test_prompt_with_embedded_resource: [["resourceUri"], ({ resourceUri }) => [
    resource(resourceUri, "text/plain", {
      text: "Embedded resource content for testing.",
    }),
    text("Please process the embedded resource above."),
  ]],
  test_prompt_with_image: [
    [],
    () => [image, text("Please analyze the image above.")],
  ],
};

export const TEMPLATE = {
  uriTemplate: "test://template/{id}/data",
  name: "Template",
  mimeType: "application/json",
};

/** Nothing for a URI that names nothing. */
export function readResource(uri) {
  const id = /^test:\/\/template\/([^/]+)\/data$/.exec(uri)?.[1];
  if (id) {
    const data = JSON.stringify({
      id,
      templateTest: true,
      data: `Data for ID: ${id}`,
    });
    return { contents: [{ uri, mimeType: "application/json", text: data }] };
  }
  if (!RESOURCES[uri]) return undefined;
  const [, mimeType, content] = RESOURCES[uri];
  return { contents: [{ uri, mimeType, ...content }] };
}
