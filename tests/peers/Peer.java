import java.io.*;
import java.net.*;
import java.nio.file.*;
import java.security.KeyStore;
import java.util.*;
import java.util.regex.*;
import javax.net.ssl.*;

/** One end of a TLS connection under test; the words are those of the Go peer (go/main.go). */
class Peer {
    static final byte[] ANSWER = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok".getBytes();
    static final char[] PASSWORD = "password".toCharArray();

    static synchronized void say(String line) {
        System.out.println(line);
        System.out.flush();
    }

    /** The value of a field in a flat JSON object that this project's own tests write. */
    static String field(String json, String name) {
        Matcher m = Pattern.compile("\"" + name + "\"\\s*:\\s*(\"([^\"]*)\"|[^,}\\]]+)").matcher(json);
        if (!m.find()) return "";
        return m.group(2) != null ? m.group(2) : m.group(1).trim();
    }

    static KeyStore store(String path) throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        try (InputStream in = Files.newInputStream(Path.of(path))) {
            store.load(in, PASSWORD);
        }
        return store;
    }

    static SSLContext context(String config, boolean certificate) throws Exception {
        KeyManagerFactory keys = KeyManagerFactory.getInstance("PKIX");
        keys.init(store(field(config, "Pkcs12")), PASSWORD);
        KeyStore trusted = KeyStore.getInstance("PKCS12");
        trusted.load(null, null);
        try (InputStream in = Files.newInputStream(Path.of(field(config, "CA")))) {
            trusted.setCertificateEntry("ca", java.security.cert.CertificateFactory.getInstance("X.509").generateCertificate(in));
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
        trust.init(trusted);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(certificate ? keys.getKeyManagers() : null, trust.getTrustManagers(), null);
        return context;
    }

    static String name(InetAddress address, int port) {
        String ip = address.getHostAddress();
        return (ip.contains(":") ? "[" + ip + "]" : ip) + ":" + port;
    }

    static boolean head(InputStream in) throws IOException {
        int matched = 0;
        byte[] end = "\r\n\r\n".getBytes();
        for (int b; matched < 4 && (b = in.read()) >= 0; ) matched = b == end[matched] ? matched + 1 : b == '\r' ? 1 : 0;
        return matched == 4;
    }

    static void handle(SSLSocket socket, boolean ask) {
        StringBuilder account = new StringBuilder("{\"peer\":\"" + name(socket.getInetAddress(), socket.getPort())
            + "\",\"local\":\"" + name(socket.getLocalAddress(), socket.getLocalPort())
            + "\",\"pid\":" + ProcessHandle.current().pid());
        try (socket) {
            long accepted = System.currentTimeMillis();
            socket.setSoTimeout(20000);
            socket.startHandshake();
            SSLSession session = socket.getSession();
            String client;
            try {
                session.getPeerCertificates();
                client = "presented";
            } catch (SSLPeerUnverifiedException none) {
                client = ask ? "declined" : "not_requested";
            }
            account.append(",\"protocol\":\"tls\",\"version\":\"" + session.getProtocol().replace("TLSv", "")
                + "\",\"cipher\":\"" + session.getCipherSuite() + "\",\"client\":\"" + client + "\"");
            if (head(socket.getInputStream())) socket.getOutputStream().write(ANSWER);
        } catch (IOException error) {
            account.append(",\"error\":\"" + error.getClass().getSimpleName() + "\"");
        }
        say(account + "}");
    }

    static void serve(String config) throws Exception {
        SSLServerSocketFactory factory = context(config, true).getServerSocketFactory();
        Matcher listeners = Pattern.compile("\\{[^{}]*\"Port\"[^{}]*\\}").matcher(config);
        while (listeners.find()) {
            String listener = listeners.group();
            boolean ask = field(listener, "Ask").equals("true");
            SSLServerSocket server = (SSLServerSocket) factory.createServerSocket(Integer.parseInt(field(listener, "Port")));
            server.setEnabledProtocols(new String[] {"TLSv" + field(listener, "Version")});
            server.setWantClientAuth(ask);
            Thread thread = new Thread(() -> {
                while (true) {
                    try {
                        SSLSocket socket = (SSLSocket) server.accept();
                        new Thread(() -> handle(socket, ask)).start();
                    } catch (IOException again) {
                        return;
                    }
                }
            });
            thread.start();
        }
        say("{\"ready\":true}");
    }

    static void dial(String config) throws Exception {
        SSLContext with = context(config, true), without = context(config, false);
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String job; (job = lines.readLine()) != null; ) {
            boolean certificate = field(job, "Cert").equals("true");
            SSLContext context = certificate ? with : without;
            if (!field(job, "Resume").equals("true")) context = context(config, certificate);
            String local = "", error = "", body = "";
            try (Socket plain = new Socket()) {
                plain.connect(new InetSocketAddress(InetAddress.getByName(field(job, "Host")), Integer.parseInt(field(job, "Port"))), 20000);
                plain.setSoTimeout(20000);
                local = name(plain.getLocalAddress(), plain.getLocalPort());
                SSLSocket socket = (SSLSocket) context.getSocketFactory().createSocket(plain, "localhost", plain.getPort(), true);
                socket.startHandshake();
                socket.getOutputStream().write("GET /small HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".getBytes());
                body = new String(socket.getInputStream().readAllBytes());
                socket.close();
            } catch (IOException e) {
                error = e.toString().replace("\"", "'");
            }
            say("{\"id\":" + field(job, "ID") + ",\"local\":[\"" + local + "\"],\"error\":\"" + error.replace("\n", " ") + "\",\"body\":\""
                + body.replace("\\", "\\\\").replace("\"", "\\\"").replace("\r", "").replace("\n", "\\n").replace("\t", " ") + "\"}");
        }
    }

    public static void main(String[] words) throws Exception {
        // A session is looked up by host and port, which a socket over a connected one keeps.
        if (words[0].equals("server")) serve(words[1]);
        else dial(words[1]);
    }
}
