# The sandbox image with compilers and shells: what programs in languages besides Python need.
#
# Build it with `make image-languages`, or scripts/build-image.sh languages; that builds the image
# it starts from, too. It changes nothing for functions: in profile "default" a job can start no
# program, whatever the image holds.

ARG SANDBOX_IMAGE=execbox-sandbox:local


FROM ${SANDBOX_IMAGE}
LABEL org.execbox.image=languages
COPY add_languages.py /tmp/
# As in the sandbox image: updates, no setuid or setgid file, no package lists.
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get upgrade -y \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        bash g++ libc6-dev \
 && apt-get clean \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/log/apt /var/log/dpkg.log \
        /var/log/alternatives.log \
 && find / -xdev -perm /6000 -type f -exec chmod a-s {} + \
 && find / -xdev -perm /2000 -type d -exec chmod g-s {} + \
 && python3 -I /tmp/add_languages.py bash cpp \
 && rm /tmp/add_languages.py
