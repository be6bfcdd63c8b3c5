export function claims(thryd: object, fetch: object, testing: object, only?: string[]): Promise<void>
