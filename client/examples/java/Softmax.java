// SPDX-License-Identifier: Apache-2.0

import com.google.protobuf.ByteString;
import java.io.*;
import java.net.Socket;
import java.nio.*;
import java.nio.file.*;
import java.util.*;
import stepd.v1.*;

/**
 * A complete stepd worker on nothing but the stock protobuf package: softmax regression on
 * Fashion-MNIST. Those in c, python, go and node beside this folder may train one job with it.
 * What it has to do with stepd is here; the mathematics are in Regression.java.
 *
 *     protoc -Iproto --java_out=DIR proto/stepd.proto
 *     javac -cp /usr/share/java/protobuf.jar -d DIR DIR/stepd/v1/*.java *.java
 *     java -cp /usr/share/java/protobuf.jar:DIR Softmax ADDRESS RANK WORKERS DATA-FOLDER WEIGHTS-FILE
 */
final class Softmax {
    private static final int ROLLED_BACK = 17;
    private static final int[] STARTS = {0, Regression.BIASES}; // of w and b among all weights

    private final float[] w = new float[Regression.ALL]; // W row by row, and then b
    private final List<int[]> places = new ArrayList<>(); // in w, of the elements of each slice
    private final Map<Integer, List<Integer>> held = new TreeMap<>(); // slices, by shard
    private final Map<Integer, Connection> shards = new TreeMap<>();
    private long incarnation, version;

    record Reply(Header header, ByteString payload) {}

    /** One connection: a varint length in front of each Frame, in both directions. */
    static final class Connection {
        private final InputStream in;
        private final OutputStream out;
        private long requests;
        final Welcome welcome;

        Connection(String address, Hello.Builder hello) throws IOException {
            int colon = address.lastIndexOf(':');
            String host = address.substring(0, colon).replaceAll("[\\[\\]]", "");
            Socket socket = new Socket(host, Integer.parseInt(address.substring(colon + 1)));
            socket.setTcpNoDelay(true);
            in = new BufferedInputStream(socket.getInputStream());
            out = new BufferedOutputStream(socket.getOutputStream());
            welcome = ask(Header.newBuilder().setHello(hello.setProtocol(1))).getWelcome();
        }

        void send(Header.Builder header, ByteString payload) throws IOException {
            header.setRequestId(++requests);
            Frame.newBuilder().setHeader(header).setPayload(payload).build().writeDelimitedTo(out);
            out.flush();
        }

        Reply read() throws IOException {
            Frame frame = Frame.parseDelimitedFrom(in);
            if (frame == null) {
                throw new IOException("the server has closed the connection");
            }
            if (frame.getHeader().hasError()) {
                var error = frame.getHeader().getError();
                throw new IOException(error.getText() + (error.getCode() != ROLLED_BACK ? ""
                    : "\nsoftmax: start it again: it goes on from the server's version"));
            }
            return new Reply(frame.getHeader(), frame.getPayload());
        }

        synchronized Header ask(Header.Builder request) throws IOException {
            send(request, ByteString.EMPTY);
            return read().header;
        }

        /** Heartbeats, so that the lease does not run out while others are waited for. */
        void keepAlive() {
            try {
                while (true) {
                    Thread.sleep(welcome.getLeaseMs() / 3);
                    ask(Header.newBuilder().setHeartbeat(Heartbeat.getDefaultInstance()));
                }
            } catch (IOException | InterruptedException lost) {
                fail(lost);
            }
        }
    }

    static void fail(Throwable why) {
        System.err.println("softmax: " + why.getMessage());
        System.exit(1);
    }

    private Softmax(Connection control, String address) throws IOException {
        control.send(Header.newBuilder().setGetLayout(GetLayout.getDefaultInstance()), ByteString.EMPTY);
        for (boolean last = false; !last;) { // a Layout may come in several frames
            Layout layout = control.read().header.getLayout();
            int part = 0;
            for (int i = 0; i < layout.getSliceShardsCount(); i++) {
                var of = new ArrayList<Integer>();
                for (int end = part + layout.getSliceParts(i); part < end; part++) {
                    int first = STARTS[layout.getPartTensors(part)] + (int) layout.getPartOffsets(part);
                    for (int j = 0; j < layout.getPartElements(part); j++) {
                        of.add(first + j);
                    }
                }
                held.computeIfAbsent(layout.getSliceShards(i), k -> new ArrayList<>()).add(places.size());
                places.add(of.stream().mapToInt(place -> place).toArray());
            }
            incarnation = layout.getIncarnation();
            last = layout.getLast();
        }
        for (int shard : held.keySet()) {
            String where = control.welcome.getShardAddresses(shard - 1);
            shards.put(shard, new Connection(where.isEmpty() ? address : where,
                Hello.newBuilder().setSession(control.welcome.getSession()).setShard(shard)));
        }
    }

    /** Sends a Step of these slices with their gradient; without one, a Pull. */
    private void send(Connection shard, List<Integer> slices, float[] gradient) throws IOException {
        if (gradient == null) {
            var pull = Pull.newBuilder().setIncarnation(incarnation).addAllSlices(slices);
            shard.send(Header.newBuilder().setPull(pull), ByteString.EMPTY);
            return;
        }
        var push = Push.newBuilder().setIncarnation(incarnation).setClock(version + 1)
            .addAllSlices(slices).addBaseVersions(version).setExamples(Regression.BATCH);
        var payload = ByteBuffer.allocate(4 * Regression.ALL).order(ByteOrder.LITTLE_ENDIAN);
        for (int slice : slices) {
            for (int place : places.get(slice)) {
                payload.putFloat(gradient[place]);
            }
        }
        shard.send(Header.newBuilder().setStep(Step.newBuilder().setPush(push)),
                   ByteString.copyFrom(payload.flip()));
    }

    /** Asks all shards before it waits for any, as workers must that wait for each other. */
    private void ask(float[] gradient) throws IOException {
        for (var shard : shards.entrySet()) {
            send(shard.getValue(), held.get(shard.getKey()), gradient);
        }
        version = Long.MAX_VALUE;
        for (Connection shard : shards.values()) {
            for (boolean last = false; !last;) {
                Reply reply = shard.read();
                Result result = reply.header.getResult();
                ByteBuffer weights = reply.payload.asReadOnlyByteBuffer().order(ByteOrder.LITTLE_ENDIAN);
                for (int i = 0; i < result.getSlicesCount(); i++) {
                    for (int place : places.get(result.getSlices(i))) {
                        w[place] = weights.getFloat();
                    }
                    version = Math.min(version, result.getVersions(i));
                }
                last = result.getLast();
            }
        }
    }

    private static void define(Connection control, int workers) throws IOException {
        var sgd = Group.newBuilder().setName("all").setMatch("*").setOptimizer("sgd")
            .addSettings(Setting.newBuilder().setName("lr").addValues(0.1));
        control.ask(Header.newBuilder().setDefineJob(
            DefineJob.newBuilder().setWorkers(workers).addGroups(sgd)));
        var b = Tensor.newBuilder().setName("b").addShape(Regression.CLASSES);
        var w = b.clone().setName("w").addShape(Regression.PIXELS);
        control.ask(Header.newBuilder().setDefineTensors(
            DefineTensors.newBuilder().addTensors(w).addTensors(b).setLast(true)));
    }

    public static void main(String[] args) throws IOException {
        Thread.setDefaultUncaughtExceptionHandler((thread, why) -> fail(why));
        if (args.length != 5) {
            throw new IOException("usage: Softmax ADDRESS RANK WORKERS DATA-FOLDER WEIGHTS-FILE");
        }
        int rank = Integer.parseInt(args[1]), workers = Integer.parseInt(args[2]);
        var hello = Hello.newBuilder().setJob("softmax").setWorker("java:" + rank).setRank(rank);
        Connection control = new Connection(args[0], hello);
        define(control, workers);
        Softmax model = new Softmax(control, args[0]);
        new Thread(control::keepAlive).start();
        model.ask(null);
        int pictures = Regression.STEPS * workers * Regression.BATCH;
        var train = Regression.Pictures.read(args[3], "train", pictures);
        while (model.version < Regression.STEPS) { // the number of steps that have been made
            int first = ((int) model.version * workers + rank) * Regression.BATCH;
            model.ask(Regression.gradient(model.w, train, first));
        }
        control.ask(Header.newBuilder().setLeave(Leave.newBuilder().setClock(Regression.STEPS)));
        var test = Regression.Pictures.read(args[3], "t10k", Regression.TEST);
        double right = Regression.countRight(model.w, test) * 100.0 / Regression.TEST;
        System.out.printf("rank %d, Java: %.1f %% of %d pictures right%n", rank, right, Regression.TEST);
        ByteBuffer bytes = ByteBuffer.allocate(4 * Regression.ALL).order(ByteOrder.LITTLE_ENDIAN);
        bytes.asFloatBuffer().put(model.w);
        Files.write(Path.of(args[4]), bytes.array());
        System.exit(0);
    }
}
