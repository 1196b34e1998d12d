/** The content of a message as its texts and its images. */
import type { ContentPart, Image, Message } from "../CompletionRequest.ts"

/** The text, and then the images, as the parts that they are. */
export const toParts = ({ content, images = [] }: Message): ReadonlyArray<ContentPart> => [
  ...(typeof content === "string" ? [{ type: "text" as const, text: content }] : content),
  ...images.map((image) => ({ type: "image" as const, image }))
]

export const toText = ({ content }: Message): string =>
  typeof content === "string"
    ? content
    : content.reduce((text, part) => (part.type === "text" ? text + part.text : text), "")

export const toImages = ({ content, images = [] }: Message): ReadonlyArray<Image> =>
  typeof content === "string"
    ? images
    : [...content.flatMap((part) => (part.type === "image" ? [part.image] : [])), ...images]
