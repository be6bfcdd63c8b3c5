/** @type {import('next').NextConfig} */
export default {
  // A native addon cannot be bundled.
  serverExternalPackages: ['thryd'],
  // There is a lock file above this folder, which is not the application's.
  turbopack: { root: import.meta.dirname },
}
