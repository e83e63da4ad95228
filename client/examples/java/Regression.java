// SPDX-License-Identifier: Apache-2.0

import java.io.FileInputStream;
import java.io.IOException;
import java.util.zip.GZIPInputStream;

/**
 * Softmax regression, and the pictures of Fashion-MNIST.
 *
 * The same bits as in the other languages: floats are computed in double, in the order of the loops
 * of c/softmax.c, by + - * / alone; so no Math.exp(), whose last bit may differ between machines.
 * From Java 17 on (and before, on processors with SSE2) nothing is computed in more bits than that.
 */
final class Regression {
    static final int PIXELS = 784, CLASSES = 10, BATCH = 16, STEPS = 50, TEST = 1000;
    static final int BIASES = CLASSES * PIXELS, ALL = BIASES + CLASSES;

    record Pictures(byte[] images, byte[] labels) {
        double pixel(int picture, int at) {
            return (images[picture * PIXELS + at] & 0xFF) / 255.0;
        }

        /** The first `count`. */
        static Pictures read(String folder, String set, int count) throws IOException {
            String prefix = folder + "/" + set;
            return new Pictures(unpack(prefix + "-images-idx3-ubyte.gz", 16, count * PIXELS),
                                unpack(prefix + "-labels-idx1-ubyte.gz", 8, count));
        }

        private static byte[] unpack(String name, int header, int count) throws IOException {
            try (var file = new GZIPInputStream(new FileInputStream(name))) {
                file.skipNBytes(header);
                return file.readNBytes(count);
            }
        }
    }

    /** e^x for x <= 0: the series of e^(x/1024) up to x^12, squared ten times. */
    private static double exponential(double x) {
        if (x < -700) {
            return 0;
        }
        double p = 1;
        for (int k = 12; k > 0; k--) {
            p = 1 + x / 1024 * p / k;
        }
        for (int i = 0; i < 10; i++) {
            p = p * p;
        }
        return p;
    }

    /** Writes W x + b to z, where w holds W row by row and then b; returns the highest's class. */
    private static int score(float[] w, Pictures pictures, int picture, double[] z) {
        int best = 0;
        for (int k = 0; k < CLASSES; k++) {
            z[k] = w[BIASES + k];
            for (int j = 0; j < PIXELS; j++) {
                z[k] = z[k] + w[k * PIXELS + j] * pictures.pixel(picture, j);
            }
            if (z[k] > z[best]) {
                best = k;
            }
        }
        return best;
    }

    /** Of the mean cross entropy over a batch, laid out as w is. */
    static float[] gradient(float[] w, Pictures pictures, int first) {
        double[] sum = new double[ALL], z = new double[CLASSES], e = new double[CLASSES];
        for (int i = first; i < first + BATCH; i++) {
            int best = score(w, pictures, i, z);
            double total = 0;
            for (int k = 0; k < CLASSES; k++) {
                e[k] = exponential(z[k] - z[best]);
                total = total + e[k];
            }
            for (int k = 0; k < CLASSES; k++) {
                double miss = e[k] / total - (k == pictures.labels[i] ? 1 : 0);
                for (int j = 0; j < PIXELS; j++) {
                    sum[k * PIXELS + j] = sum[k * PIXELS + j] + miss * pictures.pixel(i, j);
                }
                sum[BIASES + k] = sum[BIASES + k] + miss;
            }
        }
        float[] gradient = new float[ALL];
        for (int i = 0; i < ALL; i++) {
            gradient[i] = (float) (sum[i] / BATCH);
        }
        return gradient;
    }

    static int countRight(float[] w, Pictures pictures) {
        int right = 0;
        for (int i = 0; i < pictures.labels.length; i++) {
            right += score(w, pictures, i, new double[CLASSES]) == pictures.labels[i] ? 1 : 0;
        }
        return right;
    }
}
