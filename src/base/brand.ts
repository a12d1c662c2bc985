/**
 * Branded types: look-alike strings and numbers that must not be mixed. A value gets its brand only from the
 * parser that checked it, so code that takes a brand need not check again.
 */
declare const brand: unique symbol;

export type Brand<Base, Name extends string> = Base & { readonly [brand]: Name };
