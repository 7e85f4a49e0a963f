import {
  makeGenericClientConstructor,
  Metadata,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  status,
  type handleBidiStreamingCall,
  type handleClientStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
} from "@grpc/grpc-js";
import { promisify } from "node:util";

export interface GrpcService extends AsyncDisposable {
  readonly containerPort: number;
  readonly containerProtocol: "h2c";
  /** The metadata of the last call. */
  readonly seen: () => Metadata;
}

const text = {
  requestSerialize: (value: string) => Buffer.from(value),
  requestDeserialize: (bytes: Buffer) => bytes.toString(),
  responseSerialize: (value: string) => Buffer.from(value),
  responseDeserialize: (bytes: Buffer) => bytes.toString(),
};

/** A service with text messages and one method of each streaming kind. */
const definition = {
  Echo: { path: "/test.Texts/Echo", requestStream: false, responseStream: false, ...text },
  Split: { path: "/test.Texts/Split", requestStream: false, responseStream: true, ...text },
  Join: { path: "/test.Texts/Join", requestStream: true, responseStream: false, ...text },
  Talk: { path: "/test.Texts/Talk", requestStream: true, responseStream: true, ...text },
} satisfies ServiceDefinition;

export const GrpcClient = makeGenericClientConstructor(definition, "Texts");

/** Starts a container with a gRPC server. */
export async function startGrpcService(): Promise<GrpcService> {
  let seen = new Metadata();
  const trailers = () => {
    const metadata = new Metadata();
    metadata.set("x-checksum", "abc");
    return metadata;
  };
  const Echo: handleUnaryCall<string, string> = (call, answer) => {
    seen = call.metadata;
    // Never answer: the caller's deadline ends the call.
    if (call.request === "wait") return;
    if (call.request === "fail") {
      answer({ code: status.FAILED_PRECONDITION, details: "not yet: ä", metadata: trailers() });
      return;
    }
    const metadata = new Metadata();
    metadata.set("x-header", "first");
    call.sendMetadata(metadata);
    answer(null, call.request, trailers());
  };
  const Split: handleServerStreamingCall<string, string> = (call) => {
    for (const word of call.request.split(" ")) call.write(word);
    call.end(trailers());
  };
  const Join: handleClientStreamingCall<string, string> = (call, answer) => {
    const words: string[] = [];
    call.on("data", (word: string) => words.push(word));
    call.on("end", () => answer(null, words.join(" "), trailers()));
  };
  const Talk: handleBidiStreamingCall<string, string> = (call) => {
    call.on("data", (word: string) => call.write(`${word}!`));
    call.on("end", () => call.end(trailers()));
  };
  const server = new Server();
  server.addService(definition, { Echo, Split, Join, Talk });
  const bind = promisify(server.bindAsync.bind(server));
  const containerPort = await bind("127.0.0.1:0", ServerCredentials.createInsecure());
  return {
    containerPort,
    containerProtocol: "h2c",
    seen: () => seen,
    [Symbol.asyncDispose]: async () => server.forceShutdown(),
  };
}
