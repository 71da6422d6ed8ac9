import java.io.BufferedReader;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Collectors;
import javax.net.ssl.KeyManager;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/** Sends the requests that stdin describes, and prints what came of each as a line of JSON: see README.md. */
public final class Client {
    private static final int PIECE = 8 * 1024;
    private static final int PATIENCE_SECONDS = 20;
    private final Map<String, String> options = new HashMap<>();

    public static void main(String[] arguments) throws Exception {
        var lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            new Client(line).run();
        }
        System.exit(0);
    }

    private Client(String line) {
        for (String option : line.split("\t")) {
            String[] pair = option.split("=", 2);
            options.put(pair[0], pair[1]);
        }
    }

    private void run() throws Exception {
        String unsupported = unsupported();
        if (unsupported != null) {
            System.out.println("{\"unsupported\":" + quoted(unsupported) + "}");
            return;
        }
        SSLContext tls = tls();
        HttpClient client = null;
        for (int tries = 0; tries < number("tries"); tries++) {
            if (client == null || !options.containsKey("kept")) {
                var version = option("protocol").equals("h2") ? HttpClient.Version.HTTP_2 : HttpClient.Version.HTTP_1_1;
                client = HttpClient.newBuilder().sslContext(tls).version(version).build();
            }
            System.out.println(ask(client));
        }
    }

    private String unsupported() {
        if (option("body").equals("trailers")) {
            return "java.net.http sends no trailers";
        }
        // JDK-8286171: it reads the body of such an answer, and then waits for another.
        if (options.containsKey("expect") && !option("expect").equals("100") && Runtime.version().feature() < 20) {
            return "before Java 20 it hangs at any answer but 100";
        }
        return null;
    }

    private String ask(HttpClient client) {
        try {
            var answer = client.sendAsync(request(), BodyHandlers.ofString()).get(PATIENCE_SECONDS, TimeUnit.SECONDS);
            String headers = answer.headers().map().entrySet().stream()
                .map(header -> quoted(header.getKey()) + ":" + quoted(header.getValue().get(0)))
                .collect(Collectors.joining(","));
            String protocol = answer.version() == HttpClient.Version.HTTP_2 ? "h2" : "h1";
            return "{\"status\":%d,\"protocol\":\"%s\",\"headers\":{%s},\"body\":%s}"
                .formatted(answer.statusCode(), protocol, headers, quoted(answer.body()));
        } catch (TimeoutException hung) {
            return "{\"error\":\"timeout\"}";
        } catch (Exception error) {
            return "{\"error\":" + quoted(String.valueOf(error.getCause())) + "}";
        }
    }

    private HttpRequest request() {
        var request = HttpRequest.newBuilder(URI.create(option("url"))).method(option("method"), body());
        if (options.containsKey("type")) {
            request.header("content-type", option("type"));
        }
        return request.expectContinue(options.containsKey("expect")).build();
    }

    private BodyPublisher body() {
        int size = number("size");
        if (option("body").equals("none")) {
            return BodyPublishers.noBody();
        }
        if (option("body").equals("length") && size == 0) {
            return BodyPublishers.ofByteArray(new byte[0]);
        }
        byte[] text = "{\"replicas\":4}".concat(" ".repeat(size)).substring(0, size).getBytes();
        var slow = BodyPublishers.ofInputStream(() -> new Slow(text, number("pause")));
        return option("body").equals("length") ? BodyPublishers.fromPublisher(slow, size) : slow;
    }

    /** Gives a body late and little by little. */
    private static final class Slow extends InputStream {
        private final byte[] text;
        private int pause;
        private int next;

        Slow(byte[] text, int pause) {
            this.text = text;
            this.pause = pause;
        }

        @Override
        public int read() {
            return next < text.length ? text[next++] : -1;
        }

        @Override
        public int read(byte[] buffer, int offset, int length) {
            try {
                Thread.sleep(pause);
            } catch (InterruptedException interrupted) {
                return -1;
            }
            pause = 0;
            int count = Math.min(Math.min(PIECE, length), text.length - next);
            System.arraycopy(text, next, buffer, offset, count);
            next += count;
            return count == 0 && length > 0 ? -1 : count;
        }
    }

    private SSLContext tls() throws Exception {
        var trusted = KeyStore.getInstance("PKCS12");
        trusted.load(null, null);
        trusted.setCertificateEntry("ca", chain("ca")[0]);
        var trust = TrustManagerFactory.getInstance("PKIX");
        trust.init(trusted);
        KeyManager[] keys = options.containsKey("cert") ? keys() : null;
        var context = SSLContext.getInstance("TLS");
        context.init(keys, trust.getTrustManagers(), null);
        return context;
    }

    private KeyManager[] keys() throws Exception {
        String pem = Files.readString(Path.of(option("key"))).replaceAll("-----[A-Z ]+-----|\\s", "");
        var key = KeyFactory.getInstance("EC").generatePrivate(new PKCS8EncodedKeySpec(Base64.getDecoder().decode(pem)));
        var store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        store.setKeyEntry("client", key, new char[0], chain("cert"));
        var factory = KeyManagerFactory.getInstance("SunX509");
        factory.init(store, new char[0]);
        return factory.getKeyManagers();
    }

    private Certificate[] chain(String option) throws Exception {
        try (InputStream file = Files.newInputStream(Path.of(option(option)))) {
            return CertificateFactory.getInstance("X.509").generateCertificates(file).toArray(Certificate[]::new);
        }
    }

    private String option(String name) {
        return options.get(name);
    }

    private int number(String name) {
        return Integer.parseInt(option(name));
    }

    private static String quoted(String text) {
        return '"' + text.replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", "\\n").replace("\r", "\\r") + '"';
    }
}
