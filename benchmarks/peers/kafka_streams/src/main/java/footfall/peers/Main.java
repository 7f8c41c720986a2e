package footfall.peers;

import java.util.List;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.processor.api.ProcessorSupplier;
import org.apache.kafka.streams.state.Stores;

/** The shared job (job.py) on Kafka Streams: one program, one thread, until SIGTERM. */
public final class Main {

    static final String STORE = "customers";
    private static final String COMMIT_MS = "5000"; // as Quix Streams; the default, 100, is for latency
    private static final long CACHE_BYTES = 256L << 20;

    private Main() {}

    public static void main(String[] arguments) throws Exception {
        Plan plan = Plan.read(arguments[0]);
        KafkaStreams streams = new KafkaStreams(topology(plan), config(plan));
        CountDownLatch ended = new CountDownLatch(1);
        streams.setStateListener((now, before) -> {
            if (now.hasCompletedShutdown()) {
                ended.countDown();
            }
        });
        AtomicInteger code = new AtomicInteger();
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            code.set(1);
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            streams.close();
            Runtime.getRuntime().halt(code.get()); // a JVM that SIGTERM ends says 143 otherwise, however orderly its end
        }));
        streams.start();
        ended.await();
        System.exit(code.get());
    }

    /** One sub-topology over all topics: their partitions are equal in number and keyed alike. */
    static Topology topology(Plan plan) throws Exception {
        var keys = Serdes.Bytes();
        var values = Serdes.ByteArray();
        var store = Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(STORE), keys, values).withCachingEnabled();
        return new Topology()
                .addSource("events", keys.deserializer(), values.deserializer(), plan.inputs().toArray(String[]::new))
                .addProcessor("job", job(plan), "events")
                .addStateStore(store, "job")
                .addSink("profiles", plan.output(), keys.serializer(), values.serializer(), "job");
    }

    /** PEER_JOB=small is the job of five fields that calibrates the peer (README). */
    private static ProcessorSupplier<Bytes, byte[], Bytes, byte[]> job(Plan plan) throws Exception {
        if ("small".equals(System.getenv("PEER_JOB"))) {
            return () -> new SmallProcessor(plan);
        }
        Model model = Model.read(plan.model());
        return () -> new JobProcessor(plan, model);
    }

    static Properties config(Plan plan) {
        Properties config = new Properties();
        config.put(StreamsConfig.APPLICATION_ID_CONFIG, plan.group());
        config.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, plan.bootstrap());
        config.put(StreamsConfig.STATE_DIR_CONFIG, plan.stateDir());
        config.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        config.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        config.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, System.getenv().getOrDefault("PEER_COMMIT_MS", COMMIT_MS));
        config.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, CACHE_BYTES);
        config.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        for (String[] setting : CLIENTS) {
            config.put(setting[0], setting[1]);
        }
        return config;
    }

    /** Larger batches on both sides than the defaults, which are made for latency. */
    private static final List<String[]> CLIENTS = List.of(
            new String[] {StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), "5000"},
            new String[] {StreamsConfig.consumerPrefix(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG), "4194304"},
            new String[] {StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), "262144"},
            new String[] {StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4"});
}
