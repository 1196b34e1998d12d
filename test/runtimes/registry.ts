/**
 * A registry that has the packed package, so that every package manager installs it by its name, as it will after it is
 * published. It redirects requests for other packages to the registry that npm uses here.
 */
import * as Crypto from "node:crypto"
import * as Fs from "node:fs"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"

export interface Registry {
  readonly url: string
  readonly stop: () => Promise<void>
}

/** The fields of package.json that are needed here. All are published. */
export interface Manifest {
  readonly name: string
  readonly version: string
}

export const start = async (manifest: Manifest, tarballFile: string, upstream: string): Promise<Registry> => {
  const tarball = Fs.readFileSync(tarballFile)
  const { name, version } = manifest
  const tarballPath = `/${name}/-/${name}-${version}.tgz`

  const server = Http.createServer((request, response) => {
    const { origin, pathname } = new URL(request.url ?? "/", `http://${request.headers.host}`)
    if (pathname === tarballPath) return response.end(tarball)
    if (pathname === `/${name}`) {
      response.setHeader("content-type", "application/json")
      return response.end(JSON.stringify(describePackage(manifest, tarball, origin + tarballPath)))
    }
    // The original text: the name of a scope stays encoded.
    return response.writeHead(307, { location: upstream.replace(/\/$/, "") + request.url }).end()
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return { url: addressOf(server.address()), stop: () => stop(server) }
}

const describePackage = (manifest: Manifest, tarball: Buffer, url: string) => {
  const { name, version } = manifest
  // Some managers do not install what was published a short time ago.
  const published = "2026-01-01T00:00:00.000Z"
  const integrity = `sha512-${Crypto.createHash("sha512").update(tarball).digest("base64")}`
  const shasum = Crypto.createHash("sha1").update(tarball).digest("hex")
  return {
    name,
    "dist-tags": { latest: version },
    time: { created: published, modified: published, [version]: published },
    versions: { [version]: { ...manifest, _id: `${name}@${version}`, dist: { tarball: url, integrity, shasum } } }
  }
}

const addressOf = (address: AddressInfo | string | null): string => {
  if (address === null || typeof address === "string") throw new Error(`the registry has no port: ${address}`)
  return `http://127.0.0.1:${address.port}`
}

const stop = (server: Http.Server): Promise<void> =>
  new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
